/** Times in the API, in queries and in inputs: ISO 8601 with an offset. */
import { z } from 'zod';

/** A time in the API, a page's query or an operation's input. */
export const isoTimeSchema = z.iso.datetime({
  offset: true,
  error: 'must be ISO 8601 with an offset, such as 2025-09-30T09:00:00-04:00',
});

/** Converts milliseconds since the epoch to ISO 8601 in UTC. */
export function isoTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
