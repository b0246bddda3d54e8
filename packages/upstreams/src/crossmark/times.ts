/**
 * Converts Crossmark's times from and to ISO 8601. Its times without an offset are wall-clock times in the configured
 * zone. See docs/upstreams/crossmark.md, "Transport".
 */
import { DateTime } from 'luxon';

/** `2025-09-30T09:00:00-04:00`: local time with a numeric offset, no milliseconds, never `Z`. */
export function toOffsetTime(iso: string, zone: string): string {
  return local(iso, zone).toFormat("yyyy-MM-dd'T'HH:mm:ssZZ");
}

/** `09/30/2025 09:00:00`, 24 hours. */
export function toSlashedTime(iso: string, zone: string): string {
  return local(iso, zone).toFormat('MM/dd/yyyy HH:mm:ss');
}

/** `2025-09-30T09:00:00`: wall-clock time, to compare with times without an offset. */
export function toWallClock(iso: string, zone: string): string {
  return local(iso, zone).toFormat("yyyy-MM-dd'T'HH:mm:ss");
}

/** The local date, moved by whole days: `2025-09-30`. */
export function toDate(iso: string, zone: string, plusDays = 0): string {
  return local(iso, zone).plus({ days: plusDays }).toFormat('yyyy-MM-dd');
}

/** `09/30/2025 09:00:00 AM` → ISO with the zone's offset; null if it is empty or malformed. */
export function fromScheduleDate(text: string | null, zone: string): string | null {
  const parsed = DateTime.fromFormat(text ?? '', 'MM/dd/yyyy hh:mm:ss a', { zone, locale: 'en-US' });
  return parsed.isValid ? parsed.toFormat("yyyy-MM-dd'T'HH:mm:ssZZ") : null;
}

/** `09/30/2025` (any time is dropped) → `2025-09-30`; null if it is empty or malformed. */
export function fromSlashedDate(text: string | null): string | null {
  const parsed = DateTime.fromFormat((text ?? '').slice(0, 10), 'MM/dd/yyyy');
  return parsed.isValid ? parsed.toFormat('yyyy-MM-dd') : null;
}

function local(iso: string, zone: string): DateTime<true> {
  const time = DateTime.fromISO(iso, { zone });
  if (!time.isValid) throw new RangeError('not an ISO 8601 time or not a time zone');
  return time;
}
