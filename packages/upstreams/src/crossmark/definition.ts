/**
 * Crossmark's operations, limits and breaker. See docs/upstreams/crossmark.md, "Operations". The timeouts follow the
 * latencies recorded there.
 */
import { isoTimeSchema } from '@recloser/runtime/values/iso-time';
import { z } from 'zod';
import type { RetryPolicy, UpstreamDefinition } from '../contract/upstream.ts';

const retry: RetryPolicy = { maxAttempts: 8, baseMs: 1_000, factor: 2, capMs: 300_000 };

const maxRangeDays = 366;
const dayMs = 86_400_000;

/** Crossmark's ids have 5 to 12 digits today. */
const id = z.string().regex(/^[1-9]\d{0,17}$/, 'must be 1 to 18 digits and not begin with 0');
const date = z.iso.date({ error: 'must be a date, YYYY-MM-DD' });

const endAfterStart = {
  check: ({ start, end }: { start: string; end: string }) => Date.parse(end) > Date.parse(start),
  params: { path: ['end'], message: 'must be after start' },
};

const scheduleEventInput = z
  .strictObject({ repId: id, mPlanId: id, locationId: id, start: isoTimeSchema, end: isoTimeSchema })
  .refine(endAfterStart.check, endAfterStart.params);

const scheduleEventResult = z.strictObject({
  scheduleEventId: z.string(),
  repId: z.string(),
  mPlanId: z.string(),
  locationId: z.string(),
  start: z.string(),
  end: z.string(),
});

/** The read-back needs the item and the location. */
const unscheduleEventInput = z.strictObject({ scheduleEventId: id, mPlanId: id, locationId: id });

const unscheduleEventResult = z.strictObject({ scheduleEventId: z.string() });

const reissueEventInput = z.strictObject({
  mPlanId: id,
  locationId: id,
  repId: id,
  /** The work expires at the start of this day. */
  expirationDate: date,
  scheduleEventId: id.optional(),
  /** Free text for the rep. May contain names. */
  comments: z.string().max(2_000).optional(),
  includeResponses: z.boolean().optional(),
});

const reissueEventResult = z.strictObject({ accepted: z.literal(true) });

const listPlanningInput = z
  .strictObject({ startDate: date, endDate: date, mPlanId: id.optional() })
  .refine(({ startDate, endDate }) => startDate <= endDate, {
    path: ['endDate'],
    message: 'must not be before startDate',
  })
  .refine(({ startDate, endDate }) => Date.parse(endDate) - Date.parse(startDate) <= maxRangeDays * dayMs, {
    path: ['endDate'],
    message: `must be within ${maxRangeDays} days of startDate`,
  });

/** One work item, or one visit to it. Names of people and signed links are left out. */
const planningItem = z.strictObject({
  mPlanId: z.string(),
  name: z.string().nullable(),
  locationId: z.string().nullable(),
  locationName: z.string().nullable(),
  storeNumber: z.string().nullable(),
  startDate: z.string().nullable(),
  endDate: z.string().nullable(),
  /** Start of the visit, with the offset of the configured zone. May be set on an unstaffed item. */
  scheduleDate: z.string().nullable(),
  condition: z.string().nullable(),
  scheduleRepId: z.string().nullable(),
  scheduleEventId: z.string().nullable(),
});

const listPlanningResult = z.strictObject({ items: z.array(planningItem), total: z.int() });

const listAvailableRepsInput = z
  .strictObject({ start: isoTimeSchema, end: isoTimeSchema })
  .refine(endAfterStart.check, endAfterStart.params)
  .refine(({ start, end }) => Date.parse(end) - Date.parse(start) <= maxRangeDays * dayMs, {
    path: ['end'],
    message: `must be within ${maxRangeDays} days of start`,
  });

const listAvailableRepsResult = z.strictObject({
  reps: z.array(
    z.strictObject({
      repId: z.string(),
      employeeId: z.string().nullable(),
      name: z.string().nullable(),
      lastName: z.string().nullable(),
      role: z.string().nullable(),
      availableHoursPerDay: z.number().nullable(),
      scheduledHours: z.number().nullable(),
      visitCount: z.number().nullable(),
    }),
  ),
});

const listQualifiedRepsInput = z.strictObject({ mPlanId: id, locationId: id });

const listQualifiedRepsResult = z.strictObject({
  reps: z.array(
    z.strictObject({
      repId: z.string(),
      firstName: z.string().nullable(),
      lastName: z.string().nullable(),
      timezone: z.string().nullable(),
    }),
  ),
});

/** Crossmark (MVRetail): scheduling of visits. */
export const crossmark = {
  name: 'crossmark',
  title: 'Crossmark',
  envPrefix: 'CROSSMARK',
  breaker: { failMax: 5, resetMs: 60_000, failPercent: 50 },
  signIn: 'password',
  operations: {
    'schedule-event': {
      name: 'schedule-event',
      summary: 'Schedules a rep for a work item at a location and time.',
      effect: 'unsafe',
      input: scheduleEventInput,
      result: scheduleEventResult,
      makes: 'scheduleEventId',
      timeoutMs: 10_000,
      retry,
      duplicateWindowSeconds: 60,
    },
    'unschedule-event': {
      name: 'unschedule-event',
      summary: 'Removes a scheduled visit.',
      effect: 'idempotent',
      input: unscheduleEventInput,
      result: unscheduleEventResult,
      timeoutMs: 10_000,
      retry,
    },
    'reissue-event': {
      name: 'reissue-event',
      summary: 'Reissues a work item that was submitted or has expired. Does not schedule it.',
      effect: 'unsafe',
      input: reissueEventInput,
      result: reissueEventResult,
      timeoutMs: 10_000,
      retry,
      duplicateWindowSeconds: 60,
      sealedInput: ['comments'],
    },
    'list-planning': {
      name: 'list-planning',
      summary: 'Lists work items between two dates with their staffing.',
      effect: 'read',
      input: listPlanningInput,
      result: listPlanningResult,
      timeoutMs: 60_000,
      retry,
    },
    'list-available-reps': {
      name: 'list-available-reps',
      summary: 'Lists the reps who are available between two times.',
      effect: 'read',
      input: listAvailableRepsInput,
      result: listAvailableRepsResult,
      timeoutMs: 20_000,
      retry,
      sealedResult: true,
    },
    'list-qualified-reps': {
      name: 'list-qualified-reps',
      summary: 'Lists the reps who are qualified for an item at a location.',
      effect: 'read',
      input: listQualifiedRepsInput,
      result: listQualifiedRepsResult,
      timeoutMs: 30_000,
      retry,
      sealedResult: true,
    },
  },
} as const satisfies UpstreamDefinition;

export type CrossmarkOperation = keyof typeof crossmark.operations;
export type CrossmarkInput<Name extends CrossmarkOperation> = z.infer<
  (typeof crossmark.operations)[Name]['input']
>;
export type CrossmarkResult<Name extends CrossmarkOperation> = z.infer<
  (typeof crossmark.operations)[Name]['result']
>;
export type PlanningItem = z.infer<typeof planningItem>;
