/**
 * Deadlines without a clock: the time limits that clients set for their sign-ins (`AbortSignal.timeout`) pass when
 * a test says so. Importing this file replaces `AbortSignal.timeout` in the test's process.
 */
import { vi } from 'vitest';

const open = new Set<AbortController>();

vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => {
  const deadline = new AbortController();
  open.add(deadline);
  return deadline.signal;
});

/** Ends a wait as `AbortSignal.timeout` does. */
export function timeIsUp(deadline: AbortController): void {
  deadline.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
}

/** Lets every deadline pass that a client has set so far. */
export function passClientDeadlines(): void {
  for (const deadline of open) timeIsUp(deadline);
  open.clear();
}
