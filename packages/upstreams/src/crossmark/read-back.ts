/**
 * Whether an ambiguous write took effect, by reading the planning list (upstreams.md A4).
 *
 * Always true: only rows of the same item and location count; times are compared as wall-clock times, for theirs
 * carry no offset. Assumed, not proven: that the list shows a visit soon after it was booked (the worker waits and
 * reads again) and no longer shows one that was taken away.
 */
import type { Verification } from '../contract/upstream.ts';
import type { CrossmarkInput, CrossmarkResult } from './definition.ts';
import type { Place, PlanningQuery } from './requests.ts';
import { fromScheduleDate, toDate, toWallClock } from './times.ts';
import { type PlanningRecord, toPlanningItem } from './wire.ts';

/** What the read proved; `unreadable` is said by the one who reads. */
export type Proof = Exclude<Verification, { kind: 'unreadable' }>;

/** Items run for weeks around their visits; an item that does not overlap the interval would not be listed. */
const daysAroundVisit = 45;
/** Without a date to go by. Together less than a year: a wider interval may be refused. */
const daysAroundToday = 180;
const pageSize = 500;

/** The planning read that can prove `schedule-event`. */
export function scheduleProofQuery(
  input: CrossmarkInput<'schedule-event'>,
  place: Place,
): Omit<PlanningQuery, 'page'> {
  return {
    startDate: toDate(input.start, place.timezone, -daysAroundVisit),
    endDate: toDate(input.end, place.timezone, daysAroundVisit),
    mPlanId: input.mPlanId,
    limit: pageSize,
  };
}

/** The planning read that can prove `unschedule-event`. */
export function unscheduleProofQuery(
  input: CrossmarkInput<'unschedule-event'>,
  place: Place,
  now: Date,
): Omit<PlanningQuery, 'page'> {
  return {
    startDate: toDate(now.toISOString(), place.timezone, -daysAroundToday),
    endDate: toDate(now.toISOString(), place.timezone, daysAroundToday),
    mPlanId: input.mPlanId,
    limit: pageSize,
  };
}

/**
 * Applied if a visit there is ours and `claim` gives it to this call; one that another call made, a visit of someone
 * else or at another time is for a person to judge.
 */
export async function proveScheduled(
  rows: readonly PlanningRecord[],
  input: CrossmarkInput<'schedule-event'>,
  place: Place,
  claim: (id: string) => Promise<boolean>,
): Promise<Proof> {
  const visits = rowsOf(rows, input, place).filter(isVisit);
  const start = toWallClock(input.start, place.timezone);
  const ours = visits.filter(
    (row) => row.scheduleRepID === input.repId && wallClock(row.scheduleDate, place) === start,
  );
  const ids = ours.flatMap(({ scheduleEventID }) => (scheduleEventID === null ? [] : [scheduleEventID]));
  for (const scheduleEventId of new Set(ids)) {
    if (!(await claim(scheduleEventId))) continue;
    const result: CrossmarkResult<'schedule-event'> = { scheduleEventId, ...input };
    return { kind: 'applied', health: 'up', result };
  }
  if (ids.length > 0) {
    return unprovable(
      'visit_of_another_call',
      'The visit stands there, but another call was credited with it.',
    );
  }
  if (ours.length > 0) {
    return unprovable('visit_without_id', 'The visit stands there, but Crossmark shows no id for it.');
  }
  if (visits.length > 0) {
    return unprovable('other_booking', 'Another rep or another time is booked for this item and location.');
  }
  return { kind: 'absent', health: 'up' };
}

/**
 * Applied when the item is listed at its location and the visit's id is not. When it was is not known here, so an
 * item that is not listed at all may lie outside the interval, or the ids may be wrong: that proves nothing.
 */
export function proveUnscheduled(
  rows: readonly PlanningRecord[],
  input: CrossmarkInput<'unschedule-event'>,
  place: Place,
): Proof {
  const listed = rowsOf(rows, input, place);
  if (listed.length === 0) {
    return unprovable('item_not_listed', 'Crossmark does not list this item at this location around today.');
  }
  if (listed.some((row) => row.scheduleEventID === input.scheduleEventId))
    return { kind: 'absent', health: 'up' };
  const result: CrossmarkResult<'unschedule-event'> = { scheduleEventId: input.scheduleEventId };
  return { kind: 'applied', health: 'up', result };
}

/** The filter in the request is unproven, so it is made again here. */
function rowsOf(
  rows: readonly PlanningRecord[],
  { mPlanId, locationId }: { mPlanId: string; locationId: string },
  place: Place,
): PlanningRecord[] {
  return rows.filter((row) => {
    const item = toPlanningItem(row, place.timezone);
    return item.mPlanId === mPlanId && item.locationId === locationId;
  });
}

/** `scheduleDate` alone is no visit: it can be set on an unstaffed item. */
function isVisit(row: PlanningRecord): boolean {
  return row.scheduleRepID !== null || row.scheduleEventID !== null;
}

function wallClock(scheduleDate: string | null, { timezone }: Place): string | null {
  const iso = fromScheduleDate(scheduleDate, timezone);
  return iso && toWallClock(iso, timezone);
}

function unprovable(code: string, message: string): Proof {
  return { kind: 'unprovable', health: 'up', code, message };
}
