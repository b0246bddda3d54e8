/** The pause that a `Retry-After` header asks for, within limits. */
import { retryAfterMs } from '@recloser/runtime/values/retry-after';

const minMs = 1_000;
/** No answer can hold an upstream for longer. */
const maxMs = 600_000;

/** Milliseconds to wait, 1 s to 10 min; null when the header is absent or malformed. */
export function requestedPauseMs(
  header: string | readonly string[] | undefined,
  nowMs: number,
): number | null {
  const ms = retryAfterMs(header, nowMs);
  return ms === null ? null : Math.min(Math.max(ms, minMs), maxMs);
}
