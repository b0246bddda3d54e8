/**
 * Lets a test decide when the deadlines of sign-ins (`AbortSignal.timeout`) pass. Importing this file replaces
 * `AbortSignal.timeout` in this process.
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

/** Expires every deadline that clients have set so far. */
export function passClientDeadlines(): void {
  for (const deadline of open) timeIsUp(deadline);
  open.clear();
}
