import type { Transition } from '@recloser/breaker/upstream-state';
import { describe, expect, test } from 'vitest';
import { dayStripOf, stripMs } from '../breakers/day-strip.ts';
import { incidentsOf } from './incidents.ts';

const startMs = Date.parse('2026-01-05T10:00:00Z');

/** Takes entries oldest first and returns them newest first, as they are read. */
function stream(...entries: (Partial<Transition> & { in: number })[]): Transition[] {
  return entries
    .map(({ in: seconds, ...entry }, index) => ({
      id: `${startMs + seconds * 1000}-${index}`,
      at: startMs + seconds * 1000,
      kind: 'breaker',
      from: null,
      to: '',
      generation: null,
      reason: '',
      worker: null,
      hold: null,
      retryAt: null,
      evidence: [],
      ...entry,
    }))
    .reverse();
}

const outage = stream(
  { in: 0, from: 'closed', to: 'open', reason: '5 failures in a row', worker: 'w1' },
  { in: 10, kind: 'hold', to: 'set', hold: 'operator', reason: 'look first', worker: 'ann' },
  { in: 60, from: 'open', to: 'half_open' },
  { in: 61, from: 'half_open', to: 'open', reason: 'The trial failed: http_503' },
  { in: 181, from: 'open', to: 'half_open' },
  { in: 190, from: 'half_open', to: 'closed', reason: 'The upstream took the whole fleet again.' },
  { in: 300, kind: 'hold', to: 'released', hold: 'operator' },
  { in: 900, from: 'closed', to: 'open', reason: 'again' },
);

describe('incidents', () => {
  test('one outage is one incident, from leaving closed to closing again, for any number of trials', () => {
    const [current, past] = incidentsOf(outage);
    expect(past).toMatchObject({
      openedAt: startMs,
      closedAt: startMs + 190_000,
      cause: '5 failures in a row',
      openedBy: 'w1',
      trials: 2,
      failedTrials: 1,
      rampFrom: startMs + 181_000,
    });
    expect(past?.steps.map(({ kind }) => kind)).toEqual([
      'opened',
      'hold',
      'trial',
      'trial-failed',
      'trial',
      'closed',
    ]);
    expect(past?.id).toBe(`${startMs}-0`);
    expect(current).toMatchObject({ closedAt: null, trials: 0 });
  });

  test('events while the breaker is closed belong to no incident', () => {
    expect(incidentsOf(outage).flatMap(({ steps }) => steps.map(({ text }) => text))).not.toContain(
      'Operator hold released',
    );
  });

  test('a trimmed stream still shows the current outage', () => {
    const [first] = incidentsOf(stream({ in: 5, from: 'open', to: 'half_open' }));
    expect(first).toMatchObject({ openedAt: startMs + 5_000, trials: 1, closedAt: null });
  });

  test('no transitions, no incidents', () => {
    expect(incidentsOf([])).toEqual([]);
  });
});

describe('the timeline', () => {
  const now = { ms: startMs + 1_000_000, state: 'open', since: startMs + 900_000 } as const;

  test('has no gaps, ends now, and links to the incidents', () => {
    const { from, to, stretches, marks } = dayStripOf(outage, now, [startMs + 950_000]);
    expect(to - from).toBe(stripMs);
    expect(stretches.at(-1)?.to).toBe(now.ms);
    for (const [index, stretch] of stretches.entries()) {
      expect(stretch.from).toBe(stretches[index - 1]?.to ?? from);
    }
    expect(stretches.map(({ state }) => state)).toEqual([
      'closed',
      'open',
      'half_open',
      'open',
      'half_open',
      'closed',
      'open',
    ]);
    expect(stretches[1]?.incident).toBe(`${startMs}-0`);
    expect(stretches[4]?.incident).toBe(`${startMs}-0`);
    expect(stretches[5]?.incident).toBeNull();
    expect(marks.map(({ kind }) => kind).sort()).toEqual(['hold', 'hold', 'start']);
  });

  test('cuts an earlier outage at its edge and omits one that ended before', () => {
    const late = { ms: startMs + stripMs + 150_000, state: 'closed', since: startMs } as const;
    const { stretches } = dayStripOf(outage.slice(1), late, []);
    expect(stretches.map(({ state }) => state)).toEqual(['open', 'half_open', 'closed']);
    const later = { ...late, ms: startMs + 3 * stripMs };
    expect(dayStripOf(outage.slice(1), later, []).stretches.map(({ state }) => state)).toEqual(['closed']);
  });

  test('shows unknown instead of closed where nothing was recorded', () => {
    const { stretches } = dayStripOf([], { ms: startMs, state: 'closed', since: startMs - 60_000 }, []);
    expect(stretches.map(({ state }) => state)).toEqual(['unknown', 'closed']);
  });
});
