/**
 * Times as Crossmark writes them, from and to ISO 8601. Without an offset they are wall-clock times in the
 * configured zone (upstreams.md A2); daylight saving is luxon's business, never a fixed offset.
 */
import { DateTime } from 'luxon';

/** `2025-09-30T09:00:00-04:00`: local time with numeric offset, no milliseconds; never `Z`. */
export function toOffsetTime(iso: string, zone: string): string {
  return local(iso, zone).toFormat("yyyy-MM-dd'T'HH:mm:ssZZ");
}

/** `09/30/2025 09:00:00`, 24 hours. */
export function toSlashedTime(iso: string, zone: string): string {
  return local(iso, zone).toFormat('MM/dd/yyyy HH:mm:ss');
}

/** `2025-09-30T09:00:00`: the wall clock alone, to compare times that came without an offset. */
export function toWallClock(iso: string, zone: string): string {
  return local(iso, zone).toFormat("yyyy-MM-dd'T'HH:mm:ss");
}

/** The date there, moved by whole days: `2025-09-30`. */
export function toDate(iso: string, zone: string, plusDays = 0): string {
  return local(iso, zone).plus({ days: plusDays }).toFormat('yyyy-MM-dd');
}

/** `09/30/2025 09:00:00 AM` → ISO with the zone's offset; null when it is empty or something else. */
export function fromScheduleDate(text: string | null, zone: string): string | null {
  const parsed = DateTime.fromFormat(text ?? '', 'MM/dd/yyyy hh:mm:ss a', { zone, locale: 'en-US' });
  return parsed.isValid ? parsed.toFormat("yyyy-MM-dd'T'HH:mm:ssZZ") : null;
}

/** `09/30/2025` (a time after it is dropped) → `2025-09-30`; null when it is empty or something else. */
export function fromSlashedDate(text: string | null): string | null {
  const parsed = DateTime.fromFormat((text ?? '').slice(0, 10), 'MM/dd/yyyy');
  return parsed.isValid ? parsed.toFormat('yyyy-MM-dd') : null;
}

function local(iso: string, zone: string): DateTime<true> {
  const time = DateTime.fromISO(iso, { zone });
  if (!time.isValid) throw new RangeError('not an ISO 8601 time or not a time zone');
  return time;
}
