/**
 * The `options` of a request. An unknown option is refused, because ignoring it would not do what the caller expects.
 */
import { z } from 'zod';
import { type CallbackHosts, checkCallbackUrl, noCallbackHosts } from '../callback/hosts.ts';

const priorityDefault = 50;
const metadataMaxBytes = 4096;
const metadataMaxFields = 50;
const furthestRunMs = 90 * 24 * 60 * 60 * 1000;

const metadataSchema = z
  .record(
    z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'A name must have 1 to 64 letters, digits, "_", "." or "-".'),
    z.union([z.string(), z.number(), z.boolean(), z.null()], {
      error: 'Expected a string, a number, true, false or null. Metadata cannot be nested.',
    }),
  )
  .refine((fields) => Object.keys(fields).length <= metadataMaxFields, `At most ${metadataMaxFields} fields.`)
  .refine(
    (fields) => Buffer.byteLength(JSON.stringify(fields)) <= metadataMaxBytes,
    `At most ${metadataMaxBytes} bytes as JSON.`,
  );

const timeSchema = z.iso.datetime({ offset: true, error: 'Expected an ISO 8601 time with an offset.' });

/** The schema of `options`, without the rules that need a clock or the configuration. */
export const callOptionsSchema = z.strictObject({
  ifOpen: z
    .enum(['defer', 'reject', 'stale'], { error: 'Expected "defer", "reject" or "stale".' })
    .default('defer')
    .describe(
      'What happens while the breaker of the upstream is not closed. `defer`: the call waits. `reject`: `503`, nothing is stored. `stale` (reads only): the last good result of the same input.',
    ),
  priority: z
    .int()
    .min(1)
    .max(100)
    .default(priorityDefault)
    .describe('Priority in the queue. 1 runs first, 100 last.'),
  runAt: timeSchema.optional().describe('Earliest time to make the call. At most 90 days ahead.'),
  expiresAt: timeSchema
    .optional()
    .describe('A call that has not been made by this time becomes `expired` without an attempt.'),
  maxAttempts: z
    .int()
    .min(1)
    .max(50)
    .optional()
    .describe('Maximum number of attempts. The default depends on the operation.'),
  metadata: metadataSchema.optional().describe('Your own flat fields. They are returned with the call.'),
  callback: z
    .strictObject({ url: z.string().describe('An https URL whose host is in `CALLBACK_HOSTS`.') })
    .optional()
    .describe('Where to send the finished call.'),
  allowDuplicate: z
    .boolean()
    .optional()
    .describe('Stores a new call even if an equal call is unfinished, in doubt or was just accepted.'),
});

/** Validated options. Without `maxAttempts`, the operation's default applies. */
export type CallOptions = z.infer<typeof callOptionsSchema>;

/** The full schema of `options`. `now` is in ms since 1970; a function is called for each validation. */
export function callOptions(now: number | (() => number), callbackHosts: CallbackHosts = noCallbackHosts) {
  return callOptionsSchema.check((context) => {
    const { runAt, expiresAt, callback } = context.value;
    const nowMs = typeof now === 'number' ? now : now();
    const runMs = runAt === undefined ? nowMs : Date.parse(runAt);
    const refuse = (field: string, message: string) =>
      context.issues.push({ code: 'custom', path: [field], message, input: context.value });
    if (runMs > nowMs + furthestRunMs) refuse('runAt', 'Must be at most 90 days ahead.');
    if (expiresAt !== undefined && Date.parse(expiresAt) <= Math.max(nowMs, runMs)) {
      refuse('expiresAt', 'Must be later than now and than runAt.');
    }
    const judged = callback && checkCallbackUrl(callbackHosts, callback.url);
    if (judged?.ok === false) {
      const path = ['callback', 'url'];
      context.issues.push({ code: 'custom', path, message: judged.problem, input: context.value });
    }
  });
}
