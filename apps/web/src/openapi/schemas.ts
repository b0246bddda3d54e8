/**
 * The response schemas of the OpenAPI document. `satisfies` makes the compiler check them against the handlers' types.
 * The test suites validate every response against them.
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
  kind: z.string().describe('`breaker`, `operator`, `sign-in` or `rate-limit`.'),
  owner: z.string().describe('Who set the hold.'),
  reason: z.string().describe('Why the upstream is held.'),
  since: time,
  until: time.nullable().describe('End of the hold. Null if the hold lasts until it is released.'),
}) satisfies z.ZodType<HoldView>;

const estimate = z.object({
  reason: z.string().describe('Why the call is waiting, as a sentence.'),
  nextProbeAt: time
    .nullable()
    .describe('Time of the next trial of the upstream. Null unless its breaker is open.'),
  position: count
    .nullable()
    .describe('Position in the queue. 1 is next. Null if the call is not in the queue.'),
  finishBetween: z
    .tuple([time, time])
    .readonly()
    .nullable()
    .describe(
      'Earliest and latest expected time of completion, from the recent rate of finished calls. Null if there is no recent rate, or if a hold has no known end.',
    ),
});

/** A call in a list, without `history` and `result`. */
export const listedCall = z.object({
  id: z.string(),
  upstream: z.string(),
  operation: z.string(),
  status: z.enum(callStatuses),
  input: fields.describe('The input as submitted. The value of a personal field is `[sealed]`.'),
  options: fields.describe('The options as submitted, with defaults filled in.'),
  createdAt: time,
  startedAt: time.nullable().describe('Start of the first attempt.'),
  finishedAt: time.nullable(),
  attempts: z.object({
    made: count.describe('Number of attempts made, including the successful one.'),
    max: count.describe('Maximum number of attempts.'),
    deferrals: count.describe('Number of times the call was returned to the queue without an attempt.'),
    stalls: count.describe('Number of times the worker of the call stopped unexpectedly.'),
  }),
  nextAttemptAt: time
    .nullable()
    .describe('Earliest time of the next attempt. Null if it is not known or no attempt is due.'),
  holds: z.array(hold).readonly().describe('Active holds of the upstream, if the call is waiting.'),
  position: count.nullable().describe('Position in the queue. 1 is next.'),
  estimate: estimate.nullable().describe('Null unless the call is waiting.'),
  error: z
    .object({ code: z.string(), message: z.string(), status: z.int().nullable() })
    .nullable()
    .describe('Why the call did not succeed. `status` is the HTTP status of the upstream, if there was one.'),
  links,
}) satisfies z.ZodType<ListedCall>;

/** A call. */
export const call = listedCall.extend({
  history: z
    .array(z.object({ ...historyEntrySchema.shape, at: time, durationMs: z.number().min(0) }))
    .readonly(),
  result: z.unknown().describe('Null until the call has succeeded.'),
}) satisfies z.ZodType<Omit<CallView, 'result'>>;

/** A page of calls. */
export const callPage = z.object({
  calls: z.array(listedCall),
  nextCursor: z
    .string()
    .nullable()
    .describe(
      'Cursor of the next page. Null on the last page. Other pages may contain fewer than `limit` calls.',
    ),
  links: z.object({ next: z.string().nullable() }),
});

/** The response to `ifOpen: "stale"` while the breaker is not closed: the last good result of the same input. */
export const staleResult = z.object({
  stale: z.literal(true),
  id: z.string().describe('The call that the result comes from.'),
  upstream: z.string(),
  operation: z.string(),
  status: z.literal('succeeded'),
  input: fields,
  finishedAt: time,
  age: count.describe('Age of the result in seconds, as in the `Age` header.'),
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
    since: time.nullable().describe('Time of the last transition. Null if there was none.'),
    generation: count.describe('Number of transitions.'),
    retryAt: time.nullable().describe('When an open breaker becomes half-open.'),
    consecutiveFailures: count,
    reason: z.string().nullable().describe('Why the breaker opened.'),
    permits: z.number().min(0).nullable().describe('Number of parallel attempts allowed while half-open.'),
  }),
  holds: z.array(hold).readonly(),
  queue: z.object({
    waiting: count,
    delayed: count,
    overdue: count.describe('Number of delayed calls that are due.'),
    active: count,
    failed: count.describe('Number of failed, expired and cancelled calls, without the calls in doubt.'),
    inDoubt: count,
    oldestWaitingSeconds: z
      .number()
      .min(0)
      .nullable()
      .describe('Age of the oldest call that could run now. Null if there is none.'),
  }),
  workers: count.describe('Number of live workers.'),
  setAside: count.describe(
    'Number of live workers that take no calls because only their own calls were failing.',
  ),
}) satisfies z.ZodType<UpstreamView>;

export const upstreamList = z.object({ upstreams: z.array(upstream) });

const healthCheck = z.object({
  status: z.enum(['pass', 'warn', 'fail']),
  output: z.string().optional(),
  observedValue: z.union([z.string(), z.number(), z.boolean(), z.null()]).optional(),
  observedUnit: z.string().optional(),
  time: time.optional(),
});

/** The body of the health checks. */
export const health = z.object({
  status: z.enum(['pass', 'warn', 'fail']),
  checks: z.record(z.string(), z.array(healthCheck)),
});

const codes = Object.keys(problems) as [ProblemCode, ...ProblemCode[]];

/** A problem (RFC 9457). Some codes have further members. */
export const problemBody = z.looseObject({
  type: z.url(),
  title: z.string(),
  status: z.int().min(400).max(599),
  code: z.enum(codes).describe('Stable code of the problem.'),
  detail: z.string().describe('What is wrong with this request and how to fix it.'),
  errors: z
    .array(z.object({ pointer: z.string().describe('JSON Pointer into the body.'), message: z.string() }))
    .optional()
    .describe('The invalid fields, for `validation_failed`.'),
  error: z.string().optional(),
  id: z.string().optional(),
});

/** One result per item of a batch, in order. */
export const batchResults = z.object({
  results: z.array(
    z.object({
      index: count,
      status: z.int().describe('The HTTP status that the item would have received as a single call.'),
      call: z
        .object({
          id: z.string(),
          status: z
            .enum(callStatuses)
            .nullable()
            .describe('Null if an earlier request stored the call. Get the call for its status.'),
          replayed: z.boolean(),
          links,
        })
        .optional(),
      stale: staleResult.optional(),
      problem: problemBody.optional(),
    }),
  ),
});
