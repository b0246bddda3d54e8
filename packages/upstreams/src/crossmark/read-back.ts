/**
 * Proves from the planning list whether an ambiguous write took effect. See docs/upstreams/crossmark.md, "Read-back".
 *
 * Assumption: the list shows a visit soon after it was booked and stops showing it after it was removed.
 */
import type { Verification } from '../contract/upstream.ts';
import type { CrossmarkInput, CrossmarkResult } from './definition.ts';
import type { Place, PlanningQuery } from './requests.ts';
import { fromScheduleDate, toDate, toWallClock } from './times.ts';
import { type PlanningRecord, toPlanningItem } from './wire.ts';

export type Proof = Exclude<Verification, { kind: 'unreadable' }>;

/** Items run for weeks around their visits. The list contains only items that overlap the interval. */
const daysAroundVisit = 45;
/** For visits whose date is unknown. Less than a year in total, because Crossmark may refuse a wider interval. */
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
 * Applied if a listed visit matches the input and `claim` credits this call with it. A person decides about a visit of
 * another call, another rep or another time.
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
    return unprovable('visit_of_another_call', 'The visit exists, but another call is credited with it.');
  }
  if (ours.length > 0) {
    return unprovable('visit_without_id', 'The visit exists, but Crossmark shows no id for it.');
  }
  if (visits.length > 0) {
    return unprovable('other_booking', 'A different rep or time is booked for this item and location.');
  }
  return { kind: 'absent', health: 'up' };
}

/**
 * Applied if the item is listed at its location without the visit's id. An item that is not listed proves nothing: it
 * may lie outside the interval, or the ids may be wrong.
 */
export function proveUnscheduled(
  rows: readonly PlanningRecord[],
  input: CrossmarkInput<'unschedule-event'>,
  place: Place,
): Proof {
  const listed = rowsOf(rows, input, place);
  if (listed.length === 0) {
    return unprovable(
      'item_not_listed',
      'Crossmark does not list this item at this location within 180 days of today.',
    );
  }
  if (listed.some((row) => row.scheduleEventID === input.scheduleEventId))
    return { kind: 'absent', health: 'up' };
  const result: CrossmarkResult<'unschedule-event'> = { scheduleEventId: input.scheduleEventId };
  return { kind: 'applied', health: 'up', result };
}

/** Filters again, because the filter in the request is unproven. */
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

/** `scheduleDate` alone is no visit: an unstaffed item may have one. */
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
