/**
 * A `Retry-After` header (RFC 9110, 10.2.3), seconds or an HTTP date, in ms from `nowMs`: 0 for a date that has passed,
 * null when it is absent or neither.
 */
export function retryAfterMs(header: string | readonly string[] | undefined, nowMs: number): number | null {
  const text = (typeof header === 'string' ? header : header?.[0])?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  // Date.parse takes far more than HTTP dates. They begin with the day of the week.
  if (!/^[A-Za-z]{3}/.test(text)) return null;
  const ms = Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
