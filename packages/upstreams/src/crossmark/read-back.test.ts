import { describe, expect, it } from 'vitest';
import { proveScheduled, proveUnscheduled, scheduleProofQuery, unscheduleProofQuery } from './read-back.ts';
import { planningAnswer } from './wire.ts';

const place = { baseUrl: 'http://host.test', timezone: 'America/Indianapolis' };
const input = {
  repId: '123456',
  mPlanId: '31000001',
  locationId: '205001',
  start: '2025-09-30T13:00:00Z',
  end: '2025-09-30T19:30:00Z',
};
const ours = {
  mPlanID: 31000001,
  storeID: 205001,
  condition: 'Scheduled',
  scheduleDate: '09/30/2025 09:00:00 AM',
  scheduleRepID: 123456,
  scheduleEventID: 44000001,
};

const free = async () => true;

function rows(...mplans: object[]) {
  return planningAnswer.parse({ mplans, total: mplans.length }).rows;
}

describe('proveScheduled', () => {
  it('finds our visit among other rows', async () => {
    const list = rows({ ...ours, scheduleRepID: 9, scheduleEventID: 1 }, { ...ours, mPlanID: 5 }, ours);
    expect(await proveScheduled(list, input, place, free)).toEqual({
      kind: 'applied',
      health: 'up',
      result: { scheduleEventId: '44000001', ...input },
    });
  });

  it.each([
    ['no row', []],
    ['an unstaffed row', [{ ...ours, condition: 'Unstaffed', scheduleRepID: '', scheduleEventID: null }]],
    ['a visit at another location', [{ ...ours, storeID: 205002 }]],
    ['a visit of another item', [{ ...ours, mPlanID: 31000002 }]],
  ])('says absent for %s', async (_name, list) => {
    expect(await proveScheduled(rows(...list), input, place, free)).toEqual({ kind: 'absent', health: 'up' });
  });

  it.each([
    ['another rep', { scheduleRepID: 7 }, 'other_booking'],
    ['another time', { scheduleDate: '09/30/2025 10:00:00 AM' }, 'other_booking'],
    ['the same hour in the evening', { scheduleDate: '09/30/2025 09:00:00 PM' }, 'other_booking'],
    ['an unreadable time', { scheduleDate: 'soon' }, 'other_booking'],
    ['our visit without an id', { scheduleEventID: '0' }, 'visit_without_id'],
  ])('leaves %s to a person', async (_name, change, code) => {
    const proof = await proveScheduled(rows({ ...ours, ...change }), input, place, free);
    expect(proof).toMatchObject({ kind: 'unprovable', code });
  });

  it('claims no visit that another call is credited with', async () => {
    const claim = async (id: string) => id !== '44000001';
    const one = await proveScheduled(rows(ours), input, place, claim);
    expect(one).toMatchObject({ kind: 'unprovable', code: 'visit_of_another_call' });
    const two = await proveScheduled(rows(ours, { ...ours, scheduleEventID: 44000002 }), input, place, claim);
    expect(two).toMatchObject({ kind: 'applied', result: { scheduleEventId: '44000002' } });
  });

  it('reads the days around the visit in the configured zone', () => {
    expect(scheduleProofQuery({ ...input, start: '2025-10-01T02:00:00Z' }, place)).toMatchObject({
      startDate: '2025-08-16',
      endDate: '2025-11-14',
      mPlanId: '31000001',
    });
  });
});

describe('proveUnscheduled', () => {
  const visit = { scheduleEventId: '44000001', mPlanId: '31000001', locationId: '205001' };

  it('is absent while the id is still listed', () => {
    expect(proveUnscheduled(rows(ours), visit, place)).toEqual({ kind: 'absent', health: 'up' });
  });

  it.each([
    ['the item is unstaffed', [{ ...ours, scheduleEventID: '' }]],
    ['another visit stands there', [{ ...ours, scheduleEventID: 7 }]],
    [
      'one of several visits is left',
      [
        { ...ours, scheduleEventID: 7 },
        { ...ours, scheduleEventID: 8 },
      ],
    ],
  ])('says applied when %s', (_name, list) => {
    expect(proveUnscheduled(rows(...list), visit, place)).toMatchObject({
      kind: 'applied',
      result: { scheduleEventId: '44000001' },
    });
  });

  it.each([
    ['nothing is listed', []],
    ['the item is listed elsewhere', [{ ...ours, storeID: 205002 }]],
  ])('leaves it to a person when %s', (_name, list) => {
    expect(proveUnscheduled(rows(...list), visit, place)).toMatchObject({
      kind: 'unprovable',
      code: 'item_not_listed',
    });
  });

  it('reads less than a year around today', () => {
    expect(unscheduleProofQuery(visit, place, new Date('2026-01-01T12:00:00Z'))).toMatchObject({
      startDate: '2025-07-05',
      endDate: '2026-06-30',
    });
  });
});
