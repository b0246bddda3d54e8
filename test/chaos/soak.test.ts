/** A short `npm run soak`: the same traffic, faults and invariants, until a minimum of each is reached. */
import { expect, test } from 'vitest';
import { runSoak } from '../soak/run-soak.ts';

test('mixed traffic with a fault every few seconds: no call is lost or made twice, and the system recovers', async () => {
  const ledger = await runSoak({ seconds: 10, least: { calls: 80, faults: 4 }, seed: 4, perSecond: 8 });
  expect(ledger.violations).toEqual([]);
  expect(ledger.pending).toBe(0);
  expect(ledger.accepted).toBeGreaterThanOrEqual(80);
  expect(Object.values(ledger.ended).reduce((sum, count) => sum + count, 0)).toBe(ledger.accepted);
  // Enough went wrong.
  expect(Object.values(ledger.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(4);
});
