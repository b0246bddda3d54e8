import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs } from './backoff.ts';

const policies = fc.record({
  maxAttempts: fc.integer({ min: 1, max: 50 }),
  baseMs: fc.integer({ min: 1, max: 10_000 }),
  factor: fc.double({ min: 1, max: 10, noNaN: true }),
  capMs: fc.integer({ min: 1, max: 3_600_000 }),
});
const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('every wait is a whole number from 1 ms up to the cap and the exponential ceiling', () => {
  fc.assert(
    fc.property(policies, fc.integer({ min: 0, max: 10_000 }), chances, (policy, attempts, chance) => {
      const wait = backoffMs(policy, attempts, () => chance);
      expect(Number.isSafeInteger(wait)).toBe(true);
      expect(wait).toBeGreaterThanOrEqual(1);
      expect(wait).toBeLessThanOrEqual(policy.capMs);
      expect(wait).toBeLessThanOrEqual(
        Math.max(1, policy.baseMs * policy.factor ** Math.max(0, attempts - 1)),
      );
    }),
  );
});

test('the ceiling never falls as attempts increase', () => {
  fc.assert(
    fc.property(policies, fc.integer({ min: 1, max: 200 }), chances, (policy, attempts, chance) => {
      const now = backoffMs(policy, attempts, () => chance);
      const next = backoffMs(policy, attempts + 1, () => chance);
      expect(next).toBeGreaterThanOrEqual(now);
    }),
  );
});

test('the jitter is full: waits range from 1 ms to the ceiling', () => {
  const policy = { maxAttempts: 8, baseMs: 1_000, factor: 2, capMs: 300_000 };
  expect(backoffMs(policy, 3, () => 0)).toBe(1);
  expect(backoffMs(policy, 3, () => 0.999_999)).toBeGreaterThan(3_990);
  expect(backoffMs(policy, 30, () => 0.999_999)).toBeGreaterThan(299_000);
});
