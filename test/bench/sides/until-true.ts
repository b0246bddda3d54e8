/** Waits for a condition; the bench measures, so it must not wait for ever. */
import { setTimeout as pause } from 'node:timers/promises';

/** Asks every `everyMs` until the answer is true. Throws after `timeoutMs`. */
export async function untilTrue(
  check: () => Promise<boolean>,
  { timeoutMs = 60_000, everyMs = 50 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`not so after ${timeoutMs / 1000} s: ${check}`);
    await pause(everyMs);
  }
}
