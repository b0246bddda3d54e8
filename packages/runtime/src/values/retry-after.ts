/**
 * Parses a `Retry-After` header (RFC 9110, 10.2.3) into ms from `nowMs`. Returns 0 for a past date, and null if the
 * header is absent or invalid.
 */
export function retryAfterMs(header: string | readonly string[] | undefined, nowMs: number): number | null {
  const text = (typeof header === 'string' ? header : header?.[0])?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  // Date.parse accepts far more than HTTP dates, which start with the day of the week.
  if (!/^[A-Za-z]{3}/.test(text)) return null;
  const ms = Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
