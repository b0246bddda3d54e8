/**
 * The answers of this API as zod schemas, from which the OpenAPI document is made. The requests' schemas are those
 * that validate. Always true: the types of what the handlers send fit these, or this does not compile; the test
 * suite holds every answer it gets against them.
 */

import { historyEntrySchema } from '@recloser/calls/call/envelope';
import { callStatuses } from '@recloser/calls/read/status';
import type { CallView, HoldView } from '@recloser/calls/read/view';
import { isoTimeSchema } from '@recloser/runtime/values/iso-time';
import { z } from 'zod';
import type { ListedCall } from '../calls/list-calls.ts';
import { type ProblemCode, problems } from '../http/problem-codes.ts';
import type { UpstreamView } from '../upstreams/get-upstreams.ts';

const time = isoTimeSchema;
const count = z.int().min(0);
const links = z.object({ self: z.string(), upstream: z.string() });
const fields = z.record(z.string(), z.unknown());

const hold = z.object({
  kind: z.string().describe('breaker, operator, sign-in or rate-limit.'),
  owner: z.string(),
  reason: z.string(),
  since: time,
  until: time.nullable().describe('Null: until somebody releases it.'),
}) satisfies z.ZodType<HoldView>;

const estimate = z.object({
  reason: z.string().describe('Why the call waits, in words.'),
  nextProbeAt: time.nullable().describe('When the upstream is tried again, if its breaker is open.'),
  position: count.nullable().describe('1 is next in line.'),
  finishBetween: z
    .tuple([time, time])
    .readonly()
    .nullable()
    .describe('From the rate measured lately. Null when nobody can know.'),
});

/** A call without what only its own address shows. */
export const listedCall = z.object({
  id: z.string(),
  upstream: z.string(),
  operation: z.string(),
  status: z.enum(callStatuses),
  input: fields.describe('As it was submitted; personal fields read `[sealed]`.'),
  options: fields,
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  attempts: z.object({
    made: count.describe('Exchanges charged to the call, the successful one included.'),
    max: count,
    deferrals: count.describe('How often it was given back without spending an attempt.'),
    stalls: count.describe('How often its worker was lost.'),
  }),
  nextAttemptAt: time.nullable(),
  holds: z.array(hold).readonly(),
  position: count.nullable(),
  estimate: estimate.nullable().describe('Null unless the call waits.'),
  error: z
    .object({ code: z.string(), message: z.string(), status: z.int().nullable() })
    .nullable()
    .describe('Why it ended without success.'),
  links,
}) satisfies z.ZodType<ListedCall>;

/** A call. */
export const call = listedCall.extend({
  history: z
    .array(z.object({ ...historyEntrySchema.shape, at: time, durationMs: z.number().min(0) }))
    .readonly(),
  result: z.unknown().describe('Null until it has succeeded.'),
}) satisfies z.ZodType<Omit<CallView, 'result'>>;

/** A page of calls. */
export const callPage = z.object({
  calls: z.array(listedCall),
  nextCursor: z.string().nullable().describe('Null at the end. A page may be short and still not the last.'),
  links: z.object({ next: z.string().nullable() }),
});

/** The last good result, given out while the breaker is not closed. */
export const staleResult = z.object({
  stale: z.literal(true),
  id: z.string().describe('The call that got the result.'),
  upstream: z.string(),
  operation: z.string(),
  status: z.literal('succeeded'),
  input: fields,
  finishedAt: time,
  age: count.describe('Seconds since then, as in the Age header.'),
  result: z.unknown(),
  breaker: z.object({ state: z.enum(['open', 'half_open']), retryAt: time.nullable() }),
  holds: z.array(hold),
  links,
});

/** One upstream. */
export const upstream = z.object({
  name: z.string(),
  breaker: z.object({
    state: z.enum(['closed', 'open', 'half_open']),
    since: time.nullable(),
    generation: count,
    retryAt: time.nullable(),
    consecutiveFailures: count,
    reason: z.string().nullable(),
    permits: z.number().min(0).nullable(),
  }),
  holds: z.array(hold).readonly(),
  queue: z.object({
    waiting: count,
    delayed: count,
    overdue: count,
    active: count,
    failed: count,
    inDoubt: count,
    oldestWaitingSeconds: z.number().min(0).nullable(),
  }),
  workers: count,
  setAside: count.describe('Workers that take no calls because only their own were failing.'),
}) satisfies z.ZodType<UpstreamView>;

export const upstreamList = z.object({ upstreams: z.array(upstream) });

const healthCheck = z.object({
  status: z.enum(['pass', 'warn', 'fail']),
  output: z.string().optional(),
  observedValue: z.union([z.string(), z.number(), z.boolean(), z.null()]).optional(),
  observedUnit: z.string().optional(),
  time: time.optional(),
});

/** The body of the health addresses. */
export const health = z.object({
  status: z.enum(['pass', 'warn', 'fail']),
  checks: z.record(z.string(), z.array(healthCheck)),
});

const codes = Object.keys(problems) as [ProblemCode, ...ProblemCode[]];

/** A refusal, RFC 9457. Some codes have further members. */
export const problemBody = z.looseObject({
  type: z.url(),
  title: z.string(),
  status: z.int().min(400).max(599),
  code: z.enum(codes),
  detail: z.string(),
  errors: z
    .array(z.object({ pointer: z.string().describe('JSON pointer into the body.'), message: z.string() }))
    .optional(),
  error: z.string().optional(),
  id: z.string().optional(),
});

/** What became of a batch's items, in order. */
export const batchResults = z.object({
  results: z.array(
    z.object({
      index: count,
      status: z.int().describe('What the item would have been answered with by itself.'),
      call: z
        .object({
          id: z.string(),
          status: z.enum(callStatuses).nullable().describe('Null for a call that was stored before.'),
          replayed: z.boolean(),
          links,
        })
        .optional(),
      stale: staleResult.optional(),
      problem: problemBody.optional(),
    }),
  ),
});
