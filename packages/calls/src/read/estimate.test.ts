import { describe, expect, it } from 'vitest';
import { newCallId, upstreamOfCallId, wasGivenOut } from '../call/id.ts';
import { throughputOf } from '../queue/throughput.ts';
import { estimateOf } from './estimate.ts';

const nowMs = Date.parse('2026-01-05T12:00:00Z');
const iso = (seconds: number) => new Date(nowMs + seconds * 1000).toISOString();
const facts = { status: 'queued', holds: [], position: 20, nextAttemptMs: null, nowMs } as const;
const throughput = { fast: 10, slow: 5 };

describe('throughputOf', () => {
  it('needs a few completions', () => {
    expect(throughputOf([4, 3, 2, 1])).toBeUndefined();
  });

  it('distinguishes the busiest stretch from the median one', () => {
    const steady = Array.from({ length: 50 }, (_, n) => nowMs - n * 100);
    expect(throughputOf(steady)).toEqual({ fast: 10, slow: 10 });
    const quiet = Array.from({ length: 50 }, (_, n) => nowMs - 10_000 - n * 60_000);
    expect(throughputOf([...steady.slice(0, 10), ...quiet])).toEqual({ fast: 10, slow: 2.5 });
  });

  it('limits the rate of calls that finished at the same instant', () => {
    expect(throughputOf(Array.from({ length: 20 }, () => nowMs))?.fast).toBe(180);
  });
});

describe('estimateOf', () => {
  it('is a range from the position and the rate', () => {
    expect(estimateOf({ ...facts, throughput })).toEqual({
      reason: '19 calls are ahead in the queue.',
      nextProbeAt: null,
      position: 20,
      finishBetween: [iso(2), iso(4.2)],
    });
    expect(estimateOf(facts)?.finishBetween).toBeNull();
    expect(estimateOf({ ...facts, status: 'running', throughput })).toBeNull();
    expect(estimateOf({ ...facts, status: 'succeeded', throughput })).toBeNull();
  });

  it('starts at the next trial and allows for one failed trial', () => {
    const until = nowMs + 30_000;
    const hold = {
      kind: 'breaker',
      owner: 'fleet',
      reason: '5 failures in a row',
      since: nowMs - 30_000,
      until,
    };
    const estimate = estimateOf({
      ...facts,
      status: 'deferred',
      holds: [hold],
      nextAttemptMs: until,
      throughput,
    });
    expect(estimate).toEqual({
      reason: `Held (breaker) since ${iso(-30)} until ${iso(30)}: 5 failures in a row.`,
      nextProbeAt: iso(30),
      position: 20,
      finishBetween: [iso(32), iso(30 + 120 + 4.2)],
    });
  });

  it('has no range during a hold without a known end', () => {
    const hold = { kind: 'operator', owner: 'ann', reason: 'maintenance', since: nowMs, until: null };
    const estimate = estimateOf({ ...facts, status: 'deferred', holds: [hold], throughput });
    expect(estimate).toMatchObject({ nextProbeAt: null, finishBetween: null });
    expect(estimate?.reason).toContain('until it is released: maintenance.');
  });
});

describe('a call id', () => {
  it('is distinguished from an id that was never issued', () => {
    const ids = Array.from({ length: 1000 }, () => newCallId('walmart-edr'));
    expect(new Set(ids).size).toBe(1000);
    expect(ids.toSorted()).toEqual(ids);
    expect(ids.every(wasGivenOut)).toBe(true);
    for (const id of ids) expect(upstreamOfCallId(id, ['crossmark', 'walmart-edr'])).toBe('walmart-edr');
    const [id = ''] = ids;
    const changed = `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`;
    expect(wasGivenOut(changed)).toBe(false);
    expect(wasGivenOut(id.replace('walmart-edr', 'crossmark'))).toBe(false);
  });
});
