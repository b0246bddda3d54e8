import { describe, expect, test } from 'vitest';
import { parseTraceparent } from '../observe/traceparent.ts';
import { withDeadline } from '../process/with-deadline.ts';
import { isoTime, isoTimeSchema } from './iso-time.ts';
import { parseJson } from './parse-json.ts';
import { retryAfterMs } from './retry-after.ts';

describe('retryAfterMs', () => {
  const now = Date.parse('2026-11-28T12:00:00Z');
  test.each([
    ['7', 7_000],
    [' 0 ', 0],
    ['31536000', 31_536_000_000],
    ['Sat, 28 Nov 2026 12:00:30 GMT', 30_000],
    ['Wed, 21 Oct 2015 07:28:00 GMT', 0],
    [['5', '9'], 5_000],
  ])('%j is %i ms', (header, ms) => {
    expect(retryAfterMs(header, now)).toBe(ms);
  });

  test.each([undefined, '', 'soon', '-1', '1.5', '2027-01-01T00:00:00Z', []])('%j is null', (header) => {
    expect(retryAfterMs(header, now)).toBeNull();
  });
});

describe('parseTraceparent', () => {
  const [traceId, spanId] = ['a'.repeat(32), 'b'.repeat(16)];
  test('returns the parts', () => {
    expect(parseTraceparent(`00-${traceId}-${spanId}-01`)).toEqual({ traceId, spanId, flags: 1 });
  });

  test.each([
    undefined,
    '',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
    `00-${traceId}-${spanId}-01-x`,
  ])('refuses %s', (header) => {
    expect(parseTraceparent(header)).toBeNull();
  });
});

test('parseJson returns undefined for text that is not JSON', () => {
  expect(parseJson('{"a":[1]}')).toEqual({ a: [1] });
  expect(parseJson('null')).toBeNull();
  expect(parseJson('<html>')).toBeUndefined();
});

test('isoTime is UTC and matches the schema', () => {
  expect(isoTime(null)).toBeNull();
  expect(isoTimeSchema.parse(isoTime(0))).toBe('1970-01-01T00:00:00.000Z');
  expect(isoTimeSchema.safeParse('2027-01-04T09:00:00').success).toBe(false);
});

test('withDeadline rejects at the deadline, and a later rejection is ignored', async () => {
  expect(await withDeadline(Promise.resolve(1), 10_000, 'late')).toBe(1);
  const { promise, reject } = Promise.withResolvers<never>();
  await expect(withDeadline(promise, 1, 'late')).rejects.toThrow('late');
  reject(new Error('ignored'));
});
