/**
 * The `options` of a request. Strict: an option we do not know, or do not offer yet, is refused rather than
 * ignored, because ignoring it would change what the caller believes will happen.
 */
import { z } from 'zod';
import { type CallbackHosts, checkCallbackUrl, noCallbackHosts } from '../callback/hosts.ts';

const priorityDefault = 50;
const metadataMaxBytes = 4096;
const metadataMaxFields = 50;
const furthestRunMs = 90 * 24 * 60 * 60 * 1000;

const metadataSchema = z
  .record(
    z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'A name has 1-64 letters, digits, "_", "." or "-".'),
    z.union([z.string(), z.number(), z.boolean(), z.null()], {
      error: 'Metadata is flat: a string, a number, true, false or null.',
    }),
  )
  .refine((fields) => Object.keys(fields).length <= metadataMaxFields, `At most ${metadataMaxFields} fields.`)
  .refine(
    (fields) => Buffer.byteLength(JSON.stringify(fields)) <= metadataMaxBytes,
    `At most ${metadataMaxBytes} bytes as JSON.`,
  );

const timeSchema = z.iso.datetime({ offset: true, error: 'Expected an ISO 8601 time with an offset.' });

/** The shape of `options`, without the rules that need a clock or the configuration. */
export const callOptionsSchema = z.strictObject({
  ifOpen: z
    .enum(['defer', 'reject', 'stale'], { error: 'Expected "defer", "reject" or "stale".' })
    .default('defer'),
  /** 1 goes first, 100 last. */
  priority: z.int().min(1).max(100).default(priorityDefault),
  runAt: timeSchema.optional(),
  expiresAt: timeSchema.optional(),
  maxAttempts: z.int().min(1).max(50).optional(),
  metadata: metadataSchema.optional(),
  /** Where to send the finished call; judged against the allow-list below. */
  callback: z.strictObject({ url: z.string() }).optional(),
  allowDuplicate: z
    .boolean()
    .optional()
    .describe('Makes a call of its own although an equal one is unfinished, in doubt or was just accepted.'),
});

/** Checked options; `maxAttempts` absent means the operation's own. */
export type CallOptions = z.infer<typeof callOptionsSchema>;

/**
 * The schema of `options`; times are judged against `now` (ms since 1970; a function is asked at each check), callbacks
 * against `callbackHosts`.
 */
export function callOptions(now: number | (() => number), callbackHosts: CallbackHosts = noCallbackHosts) {
  return callOptionsSchema.check((context) => {
    const { runAt, expiresAt, callback } = context.value;
    const nowMs = typeof now === 'number' ? now : now();
    const runMs = runAt === undefined ? nowMs : Date.parse(runAt);
    const refuse = (field: string, message: string) =>
      context.issues.push({ code: 'custom', path: [field], message, input: context.value });
    if (runMs > nowMs + furthestRunMs) refuse('runAt', 'At most 90 days ahead.');
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
