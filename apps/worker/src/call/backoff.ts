import type { RetryPolicy } from '@recloser/upstreams/contract/upstream';

/**
 * Exponential backoff with full jitter: a random wait in ms, uniform over 1 … min(cap, base × factor^(attempts − 1)).
 * Never 0, which BullMQ treats as no backoff. `attempts` counts the charged attempts, including the one that just failed.
 * `random` returns 0 ≤ x < 1.
 */
export function backoffMs(policy: RetryPolicy, attempts: number, random: () => number = Math.random): number {
  const ceiling = Math.min(policy.capMs, policy.baseMs * policy.factor ** Math.max(0, attempts - 1));
  return 1 + Math.floor(random() * Math.max(0, ceiling - 1));
}
