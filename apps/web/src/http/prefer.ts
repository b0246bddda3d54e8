/** How long a client waits for a call to finish: `Prefer: wait=N` (RFC 7240) or `?wait=N`. */

/** Maximum wait in seconds. A greater value is reduced to it. */
export const longestWaitSeconds = 30;

/** The wait from a `Prefer` header in seconds. 0 without one; RFC 7240 requires invalid preferences to be ignored. */
export function preferredWait(header: string | undefined): number {
  for (const preference of (header ?? '').split(',')) {
    const match = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(;.*)?$/i.exec(preference);
    if (match?.[1]) return Math.min(Number(match[1]), longestWaitSeconds);
  }
  return 0;
}

/** The wait from the query parameter `wait` in seconds. 0 without one, undefined if it is not a whole number. */
export function queryWait(value: unknown): number | undefined {
  if (value === undefined) return 0;
  if (typeof value !== 'string' || !/^\d{1,9}$/.test(value)) return undefined;
  return Math.min(Number(value), longestWaitSeconds);
}
