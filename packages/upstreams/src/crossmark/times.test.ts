import { describe, expect, it } from 'vitest';
import {
  fromScheduleDate,
  fromSlashedDate,
  toDate,
  toOffsetTime,
  toSlashedTime,
  toWallClock,
} from './times.ts';

const indiana = 'America/Indianapolis';

describe('times for Crossmark', () => {
  it.each([
    ['summer, already local', '2025-09-30T09:00:00-04:00', indiana, '2025-09-30T09:00:00-04:00'],
    ['summer, from UTC', '2025-09-30T13:00:00Z', indiana, '2025-09-30T09:00:00-04:00'],
    ['winter, from UTC', '2025-12-01T14:00:00Z', indiana, '2025-12-01T09:00:00-05:00'],
    ['another day there', '2025-12-01T02:00:00Z', indiana, '2025-11-30T21:00:00-05:00'],
    ['milliseconds dropped', '2025-12-01T14:00:00.987Z', indiana, '2025-12-01T09:00:00-05:00'],
    ['last minute before spring', '2026-03-08T06:59:00Z', indiana, '2026-03-08T01:59:00-05:00'],
    ['first minute of summer time', '2026-03-08T07:00:00Z', indiana, '2026-03-08T03:00:00-04:00'],
    ['first 01:30 in autumn', '2025-11-02T05:30:00Z', indiana, '2025-11-02T01:30:00-04:00'],
    ['second 01:30 in autumn', '2025-11-02T06:30:00Z', indiana, '2025-11-02T01:30:00-05:00'],
    ['a zone without summer time', '2025-07-01T16:00:00Z', 'America/Phoenix', '2025-07-01T09:00:00-07:00'],
    ['UTC has an offset too', '2025-07-01T16:00:00Z', 'UTC', '2025-07-01T16:00:00+00:00'],
  ])('%s', (_name, iso, zone, expected) => {
    expect(toOffsetTime(iso, zone)).toBe(expected);
  });

  it('writes the other forms in the same zone', () => {
    expect(toSlashedTime('2025-12-01T19:05:09Z', indiana)).toBe('12/01/2025 14:05:09');
    expect(toWallClock('2025-12-01T19:05:09Z', indiana)).toBe('2025-12-01T14:05:09');
    expect(toDate('2025-12-01T02:00:00Z', indiana)).toBe('2025-11-30');
    expect(toDate('2025-12-01T02:00:00Z', indiana, -45)).toBe('2025-10-16');
  });

  it('parses Crossmark times and dates, and refuses other texts', () => {
    expect(fromScheduleDate('09/30/2025 09:00:00 AM', indiana)).toBe('2025-09-30T09:00:00-04:00');
    expect(fromScheduleDate('12/01/2025 12:30:00 AM', indiana)).toBe('2025-12-01T00:30:00-05:00');
    expect(fromScheduleDate('12/01/2025 12:30:00 PM', indiana)).toBe('2025-12-01T12:30:00-05:00');
    expect(fromSlashedDate('09/30/2025')).toBe('2025-09-30');
    expect(fromSlashedDate('09/30/2025 12:00:00 AM')).toBe('2025-09-30');
    for (const text of [null, '', '0000-00-00', '13/41/2025', 'soon']) {
      expect(fromScheduleDate(text, indiana)).toBeNull();
      expect(fromSlashedDate(text)).toBeNull();
    }
  });
});
