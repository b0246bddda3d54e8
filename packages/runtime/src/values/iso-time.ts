/** Times in the API, in queries and in inputs: ISO 8601 with an offset. */
import { z } from 'zod';

export const isoTimeSchema = z.iso.datetime({ offset: true });

/** Converts milliseconds since the epoch to ISO 8601 in UTC. */
export function isoTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
