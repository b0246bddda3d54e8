/**
 * Schemas of Crossmark's bodies, as recorded in docs/upstreams/crossmark.md, "Operations". Ids become strings. Unused
 * fields are dropped, and so are names of people, except in rep lists. A missing list is an error, never an empty list.
 */
import { z } from 'zod';
import type { CrossmarkResult, PlanningItem } from './definition.ts';
import { fromScheduleDate, fromSlashedDate } from './times.ts';

const wireId = z.union([z.string().regex(/^\d+$/), z.int().nonnegative()]).transform(String);

/** Absent, null, `''` and `0` all mean "none". */
const optionalId = z
  .union([z.string(), z.number()])
  .nullish()
  .transform((value) => (/^0*$/.test(String(value ?? '')) ? null : String(value)));

const optionalText = z
  .union([z.string(), z.number()])
  .nullish()
  .transform((value) => (value === null || value === undefined || value === '' ? null : String(value)));

const optionalNumber = z
  .union([z.string(), z.number()])
  .nullish()
  .transform((value) => {
    const number = value === null || value === undefined || value === '' ? Number.NaN : Number(value);
    return Number.isFinite(number) ? number : null;
  });

const planningRecord = z.object({
  mPlanID: wireId,
  name: optionalText,
  mPlanName: optionalText,
  storeID: optionalId,
  LocationID: optionalId,
  LocationMVID: optionalId,
  storeName: optionalText,
  LocationName: optionalText,
  storeNumber: optionalText,
  startDate: optionalText,
  mPlanStartDate: optionalText,
  endDate: optionalText,
  mPlanDueDate: optionalText,
  scheduleDate: optionalText,
  condition: optionalText,
  scheduleRepID: optionalId,
  scheduleEventID: optionalId,
});

/** getPlanningMplans: `mplans` (some recordings have `records`) and sometimes a total. */
export const planningAnswer = z
  .object({
    mplans: z.array(planningRecord).optional(),
    records: z.array(planningRecord).optional(),
    total: optionalNumber,
  })
  .transform(({ mplans, records, total }, context) => {
    const rows = mplans ?? records;
    if (rows) return { rows, total };
    context.addIssue('neither mplans nor records');
    return z.NEVER;
  });

/** A row of getPlanningMplans. */
export type PlanningRecord = z.infer<typeof planningRecord>;

/** Converts a row. `zone`: of the times without an offset. */
export function toPlanningItem(row: PlanningRecord, zone: string): PlanningItem {
  return {
    mPlanId: row.mPlanID,
    name: row.name ?? row.mPlanName,
    locationId: row.storeID ?? row.LocationID ?? row.LocationMVID,
    locationName: row.storeName ?? row.LocationName,
    storeNumber: row.storeNumber,
    startDate: fromSlashedDate(row.startDate ?? row.mPlanStartDate),
    endDate: fromSlashedDate(row.endDate ?? row.mPlanDueDate),
    scheduleDate: fromScheduleDate(row.scheduleDate, zone),
    condition: row.condition,
    scheduleRepId: row.scheduleRepID,
    scheduleEventId: row.scheduleEventID,
  };
}

const availableRep = z.object({
  repId: optionalId,
  id: optionalId,
  employeeId: optionalText,
  repMvid: optionalText,
  title: optionalText,
  lastName: optionalText,
  role: optionalText,
  availableHoursPerDay: optionalNumber,
  scheduledHours: optionalNumber,
  visitCount: optionalNumber,
});

type AvailableReps = CrossmarkResult<'list-available-reps'>;

/** getAvailableReps: `reps` is an object keyed by rep id (an empty one is `[]` in PHP), or a list. */
export const availableRepsAnswer = z
  .object({ reps: z.union([z.array(availableRep), z.record(z.string(), availableRep)]) })
  .transform(({ reps }, context): AvailableReps => {
    const entries: [string, z.infer<typeof availableRep>][] = Array.isArray(reps)
      ? reps.map((rep) => ['', rep])
      : Object.entries(reps);
    const rows = entries.map(([key, rep]) => ({
      repId: rep.repId ?? rep.id ?? key,
      employeeId: rep.employeeId ?? rep.repMvid,
      name: rep.title,
      lastName: rep.lastName,
      role: rep.role,
      availableHoursPerDay: rep.availableHoursPerDay,
      scheduledHours: rep.scheduledHours,
      visitCount: rep.visitCount,
    }));
    if (rows.some((rep) => rep.repId === '')) context.addIssue('a rep without an id');
    return { reps: rows };
  });

const qualifiedRep = z
  .object({ ID: wireId, FirstName: optionalText, LastName: optionalText, Timezone: optionalText })
  .transform((rep) => ({
    repId: rep.ID,
    firstName: rep.FirstName,
    lastName: rep.LastName,
    timezone: rep.Timezone,
  }));

/** getQualifiedRepsForScheduling. `OfflineHash` works like a credential and is never read. */
export const qualifiedRepsAnswer = z.object({ reps: z.array(qualifiedRep) });

/** scheduleMplanEvent: the ids of what was booked. */
export const scheduleAnswer = z.object({
  MVScheduledEvent: z.object({ ID: wireId, RepID: wireId, mPlanID: wireId, LocationID: wireId }),
});

/** The two signs of success or failure in answers to writes. Either may be missing. */
export const verdictAnswer = z.object({ ok: z.unknown().optional(), success: z.unknown().optional() });

/** login/authenticate, if it answers with JSON. */
export const signInAnswer = z.object({
  redirectUrl: z.unknown().optional(),
  success: z.unknown().optional(),
});
