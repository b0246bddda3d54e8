import type { BreakerRecord, Hold, WorkerView } from '@recloser/breaker/record';
import { expect, test } from 'vitest';
import { agreementOf } from './agreement.ts';

const nowMs = 1_000_000;
const breaker = { state: 'open', generation: 7, since: nowMs - 60_000 } as BreakerRecord;
const hold: Hold = { kind: 'breaker', owner: 'breaker', reason: 'down', since: 0, until: null };
const worker = { id: 'w1', state: 'open', generation: 7, seenAt: nowMs - 500 } as WorkerView;
const agreed = { breaker, holds: [hold], paused: true, workers: [worker], nowMs };

test('no mismatch when all parts agree', () => {
  expect(agreementOf(agreed)).toMatchObject({ mismatches: [], rows: expect.any(Array) });
  expect(agreementOf(agreed).rows.every(({ agrees }) => agrees)).toBe(true);
});

test('a pause without a hold, and a hold without a pause, are mismatches with a fix', () => {
  expect(agreementOf({ ...agreed, holds: [] }).mismatches).toMatchObject([
    { what: expect.stringContaining('no hold is active'), fix: expect.stringContaining('within 5 seconds') },
  ]);
  expect(agreementOf({ ...agreed, paused: false, workers: [] }).mismatches).toMatchObject([
    { what: expect.stringContaining('the queue runs'), fix: expect.stringContaining('start one') },
  ]);
});

test('a worker with another view is a mismatch, unless it has not reported since the change', () => {
  const odd = { ...worker, state: 'closed', generation: 6 } as WorkerView;
  expect(agreementOf({ ...agreed, workers: [odd] }).mismatches[0]?.what).toContain('w1');
  const late = { ...agreed, breaker: { ...breaker, since: nowMs - 1_000 }, workers: [odd] };
  expect(agreementOf(late)).toMatchObject({ mismatches: [] });
  expect(agreementOf(late).rows.at(-1)?.agrees).toBeNull();
});

test('a silent worker is a mismatch', () => {
  const silent = { ...worker, seenAt: nowMs - 10_000 };
  expect(agreementOf({ ...agreed, workers: [silent] }).mismatches[0]?.what).toContain('10 s ago');
});
