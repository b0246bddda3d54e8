/**
 * Walmart EDR's operations, limits and breaker. All operations are reads. A person signs in, because Walmart sends a
 * code to a phone.
 */
import { z } from 'zod';
import type { RetryPolicy, UpstreamDefinition } from '../contract/upstream.ts';

const retry: RetryPolicy = { maxAttempts: 8, baseMs: 1_000, factor: 2, capMs: 300_000 };

const maxRangeDays = 366;
const dayMs = 86_400_000;

const getReportInput = z.strictObject({
  /** The six digits at the start of the Crossmark item's name. Walmart also calls it `demoId`. */
  eventId: z.string().regex(/^\d{6}$/, 'must be 6 digits'),
});

const getReportResult = z.strictObject({
  demoId: z.string(),
  demoName: z.string(),
  demoDate: z.iso.date(),
  demoClassCode: z.int().nullable(),
  demoStatusCode: z.int(),
  /** `Y`: the event is locked against changes. */
  demoLockInd: z.string().nullable(),
  demoInstructions: z
    .strictObject({ demoPrepnTxt: z.string().nullable(), demoPortnTxt: z.string().nullable() })
    .nullable(),
  items: z.array(
    z.strictObject({
      itemNbr: z.string(),
      gtin: z.string().nullable(),
      itemDesc: z.string().nullable(),
      vendorNbr: z.string().nullable(),
      deptNbr: z.string().nullable(),
    }),
  ),
});

const browseEventsInput = z
  .strictObject({
    startDate: z.iso.date(),
    endDate: z.iso.date(),
    /** The club's number, not Crossmark's location id. */
    storeNumber: z.string().regex(/^\d{1,6}$/, 'must be 1 to 6 digits'),
    /** Walmart's event type codes. Default: all known ones (1 and 3 to 45). */
    eventTypes: z.array(z.int().min(1).max(999)).min(1).max(100).optional(),
  })
  .refine(({ startDate, endDate }) => startDate <= endDate, {
    path: ['endDate'],
    message: 'must not be before startDate',
  })
  .refine(({ startDate, endDate }) => Date.parse(endDate) - Date.parse(startDate) <= maxRangeDays * dayMs, {
    path: ['endDate'],
    message: `must be within ${maxRangeDays} days of startDate`,
  });

const browseEventsResult = z.strictObject({
  /** One row per event and item: an event with three items has three rows. */
  rows: z.array(
    z.strictObject({
      eventId: z.string(),
      eventType: z.string().nullable(),
      eventName: z.string().nullable(),
      eventDate: z.string(),
      eventStatus: z.string().nullable(),
      locked: z.boolean(),
      itemNbr: z.string().nullable(),
      itemDesc: z.string().nullable(),
      featuredItemInd: z.string().nullable(),
      upcNbr: z.string().nullable(),
      deptNbr: z.string().nullable(),
      deptDesc: z.string().nullable(),
      vendorNbr: z.string().nullable(),
      vendorDesc: z.string().nullable(),
      subCatNbr: z.string().nullable(),
      subCatDesc: z.string().nullable(),
      country: z.string().nullable(),
    }),
  ),
});

/** Walmart EDR (Retail Link Event Management): event detail reports and the list of events. */
export const walmartEdr = {
  name: 'walmart-edr',
  title: 'Walmart EDR',
  envPrefix: 'WALMART_EDR',
  breaker: { failMax: 3, resetMs: 120_000, failPercent: 50 },
  signIn: 'text-message',
  operations: {
    'get-report': {
      name: 'get-report',
      summary: 'Gets the event detail report of one event, without its clubs, history and costs.',
      effect: 'read',
      input: getReportInput,
      result: getReportResult,
      timeoutMs: 10_000,
      retry,
    },
    'browse-events': {
      name: 'browse-events',
      summary: 'Lists the events of one club between two dates, one row per event and item.',
      effect: 'read',
      input: browseEventsInput,
      result: browseEventsResult,
      timeoutMs: 30_000,
      retry,
    },
  },
} as const satisfies UpstreamDefinition;

export type GetReportResult = z.infer<typeof getReportResult>;
export type BrowseEventsInput = z.infer<typeof browseEventsInput>;
export type BrowseEventsResult = z.infer<typeof browseEventsResult>;
