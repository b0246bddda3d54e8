/** The Retry-After header (RFC 9110, 10.2.3) as a pause, clamped so that no answer can stop us for long. */

const minMs = 1_000;
const maxMs = 600_000;

/** Milliseconds to wait, 1 s to 10 min, from seconds or an HTTP date; null when the header is absent or neither. */
export function retryAfterMs(header: string | readonly string[] | undefined, nowMs: number): number | null {
  const text = typeof header === 'string' ? header.trim() : header?.[0]?.trim();
  if (!text) return null;
  // Date.parse takes far more than HTTP dates; they begin with the day of the week.
  const ms = /^\d+$/.test(text)
    ? Number(text) * 1_000
    : /^[A-Za-z]{3}/.test(text)
      ? Date.parse(text) - nowMs
      : NaN;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, minMs), maxMs);
}
