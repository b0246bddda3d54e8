/** Waits for a condition, with a timeout. */
import { setTimeout as pause } from 'node:timers/promises';

/** Polls every `everyMs` until `check` is true. Throws after `timeoutMs`. */
export async function untilTrue(
  check: () => Promise<boolean>,
  { timeoutMs = 60_000, everyMs = 50 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`Not true within ${timeoutMs / 1000} s: ${check}`);
    await pause(everyMs);
  }
}
