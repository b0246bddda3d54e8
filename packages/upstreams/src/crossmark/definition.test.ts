import { describe, expect, it } from 'vitest';
import { crossmark } from './definition.ts';

const { operations } = crossmark;

const good = {
  'schedule-event': {
    repId: '123456',
    mPlanId: '31000001',
    locationId: '205001',
    start: '2025-09-30T09:00:00-04:00',
    end: '2025-09-30T19:30:00Z',
  },
  'unschedule-event': { scheduleEventId: '44000001', mPlanId: '310000010203', locationId: '205001' },
  'reissue-event': {
    mPlanId: '31000001',
    locationId: '205001',
    repId: '123456',
    expirationDate: '2025-10-06',
  },
  'list-planning': { startDate: '2025-09-01', endDate: '2025-09-01', mPlanId: '31000001' },
  'list-available-reps': { start: '2025-09-30T09:00:00-04:00', end: '2025-10-07T09:00:00-04:00' },
  'list-qualified-reps': { mPlanId: '31000001', locationId: '205001' },
} satisfies Record<keyof typeof operations, object>;

const names = Object.keys(good) as (keyof typeof good)[];

function problem(name: keyof typeof good, change: object): string | undefined {
  const parsed = operations[name].input.safeParse({ ...good[name], ...change });
  const issue = parsed.error?.issues[0];
  return issue && `${issue.path.join('.')}: ${issue.message}`;
}

describe('Crossmark inputs', () => {
  it.each(names)('%s accepts a valid input and refuses unknown fields', (name) => {
    expect(operations[name].input.safeParse(good[name]).error).toBeUndefined();
    expect(problem(name, { extra: 1 })).toContain('extra');
    expect(operations[name].name).toBe(name);
  });

  it.each(['', '0', '012', '12a', '-1', '1.5', ' 1', '1'.repeat(19), 12345678, null])(
    'refuses the id %j',
    (id) => {
      expect(problem('schedule-event', { repId: id })).toMatch(/^repId: /);
    },
  );

  it.each(['2025-09-30', '2025-09-30T09:00:00', '2025-02-30T09:00:00Z', '09/30/2025', 'now', 0])(
    'refuses the time %j',
    (start) => {
      expect(problem('schedule-event', { start })).toMatch(/^start: must be ISO 8601 with an offset/);
    },
  );

  it.each(['2025-13-01', '2025-02-29', '10/06/2025', ''])('refuses the date %j', (expirationDate) => {
    expect(problem('reissue-event', { expirationDate })).toBe('expirationDate: must be a date, YYYY-MM-DD');
  });

  it('compares times as instants, not as text', () => {
    const same = { start: '2025-09-30T09:00:00-04:00', end: '2025-09-30T13:00:00Z' };
    expect(problem('schedule-event', same)).toBe('end: must be after start');
    expect(problem('schedule-event', { ...same, end: '2025-09-30T10:00:00-08:00' })).toBeUndefined();
  });

  it('refuses ranges that are reversed or too long', () => {
    expect(problem('list-planning', { endDate: '2025-08-31' })).toBe('endDate: must not be before startDate');
    expect(problem('list-planning', { endDate: '2026-12-01' })).toMatch(/^endDate: must be within 366 days/);
    expect(problem('list-available-reps', { end: '2027-01-01T00:00:00Z' })).toMatch(/^end: must be within/);
  });

  it('seals personal fields', () => {
    expect(operations['reissue-event'].sealedInput).toEqual(['comments']);
    expect(operations['list-available-reps'].sealedResult).toBe(true);
    expect(operations['list-qualified-reps'].sealedResult).toBe(true);
  });
});
