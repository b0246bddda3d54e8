/** How long a client is willing to wait for the end of a call: `Prefer: wait=N` (RFC 7240) or `?wait=N`. */

/** Longest wait, in seconds; a longer wish is cut to this. */
export const longestWaitSeconds = 30;

/** Seconds from a `Prefer` header; 0 when it asks for no wait. What cannot be understood is ignored, as the RFC asks. */
export function preferredWait(header: string | undefined): number {
  for (const preference of (header ?? '').split(',')) {
    const match = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(;.*)?$/i.exec(preference);
    if (match?.[1]) return Math.min(Number(match[1]), longestWaitSeconds);
  }
  return 0;
}

/** Seconds from the query parameter `wait`; 0 without one, undefined when it is not a whole number. */
export function queryWait(value: unknown): number | undefined {
  if (value === undefined) return 0;
  if (typeof value !== 'string' || !/^\d{1,9}$/.test(value)) return undefined;
  return Math.min(Number(value), longestWaitSeconds);
}
