/** The short form of `npm run soak`: the same traffic, faults and invariants, for a quarter of a minute. */
import { expect, test } from 'vitest';
import { runSoak } from '../soak/run-soak.ts';

test('mixed traffic with a fault every few seconds: every call accounted for, nothing doubled, all whole again', async () => {
  const ledger = await runSoak({ seconds: 15, seed: 4, perSecond: 8 });
  expect(ledger.violations).toEqual([]);
  expect(ledger.pending).toBe(0);
  expect(ledger.accepted).toBeGreaterThan(80);
  expect(Object.values(ledger.ended).reduce((sum, count) => sum + count, 0)).toBe(ledger.accepted);
  // It was no fair weather.
  expect(Object.values(ledger.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(3);
});
