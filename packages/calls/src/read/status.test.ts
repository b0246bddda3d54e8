import { describe, expect, it } from 'vitest';
import { appendHistory, type Envelope, type HistoryEntry } from '../call/envelope.ts';
import type { Placement } from '../queue/placement.ts';
import { type ActiveHold, callStatus, nextAttemptMs } from './status.ts';

const nowMs = Date.parse('2026-03-01T12:00:00Z');

const entry: HistoryEntry = {
  at: '2026-03-01T11:59:00Z',
  durationMs: 1,
  outcome: 'retry',
  status: 500,
  code: 'http_5xx',
  message: 'm',
  worker: 'w',
};

function envelope(more: Partial<Envelope> = {}): Envelope {
  return {
    v: 1,
    operation: 'x',
    input: {},
    options: { ifOpen: 'defer', priority: 50, maxAttempts: 8 },
    createdAt: '2026-03-01T11:00:00Z',
    requestId: 'r',
    deferrals: 0,
    trials: 0,
    history: [],
    ...more,
  };
}

function hold(untilMs: number | null): ActiveHold {
  return { kind: 'breaker', owner: 'fleet', reason: 'r', since: nowMs, until: untilMs };
}

function facts(
  state: Placement['state'],
  more: { dueMs?: number; env?: Partial<Envelope>; made?: number; holds?: ActiveHold[] } = {},
) {
  return {
    envelope: envelope(more.env),
    placement: { state, dueMs: more.dueMs ?? null, position: null },
    attemptsMade: more.made ?? 0,
    holds: more.holds ?? [],
    nowMs,
  };
}

describe('callStatus', () => {
  it.each([
    ['queued', facts('waiting')],
    ['deferred', facts('waiting', { holds: [hold(null)] })],
    ['running', facts('active', { holds: [hold(null)] })],
    ['succeeded', facts('completed')],
    [
      'scheduled',
      facts('delayed', {
        dueMs: nowMs + 1000,
        env: { options: { ifOpen: 'defer', priority: 1, maxAttempts: 1, runAt: '2026-03-01T12:00:01Z' } },
      }),
    ],
    ['retrying', facts('delayed', { dueMs: nowMs + 1000, made: 1, env: { history: [entry] } })],
    [
      'retrying',
      facts('delayed', {
        dueMs: nowMs + 1000,
        made: 1,
        env: { history: [entry] },
        holds: [hold(nowMs + 500)],
      }),
    ],
    [
      'deferred',
      facts('delayed', {
        dueMs: nowMs + 1000,
        made: 1,
        env: { history: [entry] },
        holds: [hold(nowMs + 5000)],
      }),
    ],
    ['deferred', facts('delayed', { dueMs: nowMs - 1000, made: 1, holds: [hold(null)] })],
    [
      'deferred',
      facts('delayed', { dueMs: nowMs + 1000, env: { history: [{ ...entry, outcome: 'snooze' }] } }),
    ],
    [
      'deferred',
      facts('delayed', {
        dueMs: nowMs + 1000,
        made: 1,
        env: { history: [entry], handedBack: { at: '2026-03-01T11:59:30Z', reason: 'no permit' } },
      }),
    ],
    [
      'retrying',
      facts('delayed', {
        dueMs: nowMs + 1000,
        made: 1,
        env: { history: [entry], handedBack: { at: '2026-03-01T11:58:30Z', reason: 'no permit' } },
      }),
    ],
    ['expired', facts('failed', { env: { settled: { status: 'expired', code: 'c', message: 'm' } } })],
    ['in_doubt', facts('failed', { env: { sending: { at: 't', worker: 'w' } } })],
    ['failed', facts('failed')],
  ])('%s', (status, input) => {
    expect(callStatus(input)).toBe(status);
  });
});

describe('nextAttemptMs', () => {
  it('is the later of the due time and the end of the holds, and unknown when a hold has no end', () => {
    expect(nextAttemptMs(facts('waiting'))).toBeNull();
    expect(nextAttemptMs(facts('delayed', { dueMs: nowMs + 9 }))).toBe(nowMs + 9);
    expect(nextAttemptMs(facts('delayed', { dueMs: nowMs + 9, holds: [hold(nowMs + 20)] }))).toBe(nowMs + 20);
    expect(nextAttemptMs(facts('waiting', { holds: [hold(nowMs + 20), hold(null)] }))).toBeNull();
  });
});

describe('appendHistory', () => {
  it('keeps the first and the latest attempts, and truncates long messages', () => {
    let history: HistoryEntry[] = [];
    for (let index = 0; index < 200; index += 1) {
      history = appendHistory(history, { ...entry, durationMs: index, message: 'x'.repeat(1000) });
    }
    expect(history).toHaveLength(50);
    expect(history[0]?.durationMs).toBe(0);
    expect(history.at(-1)?.durationMs).toBe(199);
    expect(history[1]?.message).toHaveLength(300);
  });
});
