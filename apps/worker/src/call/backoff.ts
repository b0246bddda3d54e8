/**
 * How long a call waits before its next charged attempt: exponential with full jitter, so that calls that
 * failed together do not come back together.
 *
 * Always true: the wait is at least 1 ms (0 would mean "at once" to BullMQ) and never above the policy's cap.
 */
import type { RetryPolicy } from '@recloser/upstreams/contract/upstream';

/**
 * A random wait in milliseconds, spread evenly over 1 … min(cap, base × factor^(attempts − 1)).
 * `attempts` counts the charged attempts so far, the one that just failed included. `random` gives 0 ≤ x < 1.
 */
export function backoffMs(policy: RetryPolicy, attempts: number, random: () => number = Math.random): number {
  const ceiling = Math.min(policy.capMs, policy.baseMs * policy.factor ** Math.max(0, attempts - 1));
  return 1 + Math.floor(random() * Math.max(0, ceiling - 1));
}
