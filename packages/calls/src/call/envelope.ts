/**
 * What a call looks like in Redis: the data of its BullMQ job. It is versioned, and a worker reads what the
 * release before it wrote: new fields are optional, and fields we do not know are kept, not dropped.
 */
import { z } from 'zod';

/** One attempt as it is remembered. `message` never carries secrets, names or raw bodies. */
export const historyEntrySchema = z.looseObject({
  at: z.string(),
  durationMs: z.number(),
  /** Kind of the outcome: `done`, `retry`, `snooze`, `reject`, `in_doubt`, or what the worker calls it. */
  outcome: z.string(),
  /** HTTP status of the answer, if there was one. */
  status: z.number().nullable(),
  code: z.string().nullable(),
  message: z.string().nullable(),
  worker: z.string(),
});

/** How a call ended when it did not succeed. */
export const settledSchema = z.looseObject({
  status: z.enum(['failed', 'expired', 'in_doubt', 'cancelled']),
  code: z.string(),
  message: z.string(),
  httpStatus: z.number().optional(),
  /**
   * False when ending the call made BullMQ count an attempt that never happened. Left out: an expired or
   * cancelled call ended without one, a failed call or one in doubt ended with one.
   */
  charged: z.boolean().optional(),
});

/** The options of a call as they are stored, defaults filled in. */
export const storedOptionsSchema = z.looseObject({
  ifOpen: z.string(),
  priority: z.number(),
  maxAttempts: z.number(),
  runAt: z.string().optional(),
  expiresAt: z.string().optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  callback: z.looseObject({ url: z.string() }).optional(),
  allowDuplicate: z.boolean().optional(),
});

/** The versions that this release reads. */
export const envelopeVersions = [1];

/** Data of a call's job, version 1. */
export const envelopeSchema = z.looseObject({
  v: z.literal(1),
  operation: z.string(),
  /** Of a read: names operation and input, see `last-good.ts`. */
  resultKey: z.string().optional(),
  /** The validated input; a personal field is `{sealed: string}`, see `seal-input.ts`. */
  input: z.record(z.string(), z.unknown()),
  /** Fingerprint of the session key that the input's sealed fields were sealed with. */
  sealedWith: z.string().optional(),
  options: storedOptionsSchema,
  createdAt: z.string(),
  requestId: z.string(),
  /** Name of the API key that submitted the call. */
  submittedBy: z.string().optional(),
  /** W3C trace headers to pass on. */
  trace: z.record(z.string(), z.string()).optional(),
  /** How often the call was handed back without spending an attempt. */
  deferrals: z.number(),
  /** How many failed trials of a half-open breaker were not charged to the call. */
  trials: z.number(),
  history: z.array(historyEntrySchema),
  /** When it was last handed back, and why. Counts only while later than the last attempt. */
  handedBack: z.looseObject({ at: z.string(), reason: z.string() }).optional(),
  /** Stored before the first byte of an unsafe operation leaves. */
  sending: z.looseObject({ at: z.string(), worker: z.string() }).optional(),
  /** `ended`: the upstream was done with the request when it answered: two reads prove that it is absent. */
  readBack: z
    .looseObject({ reads: z.number(), firstAt: z.string(), ended: z.boolean().optional() })
    .optional(),
  settled: settledSchema.optional(),
});

/** What the job of a succeeded call returns: the result (sealed if personal) and the attempt that got it. */
export const returnValueSchema = z.looseObject({ result: z.unknown(), attempt: historyEntrySchema });

export type HistoryEntry = z.infer<typeof historyEntrySchema>;
export type Settled = z.infer<typeof settledSchema>;
export type Envelope = z.infer<typeof envelopeSchema>;
export type CallReturnValue = z.infer<typeof returnValueSchema>;

/**
 * True when nobody knows whether a call that has ended was done. Without a verdict the worker died between the sending
 * mark and settling.
 */
export function isLeftInDoubt({ settled, sending }: Envelope): boolean {
  return settled ? settled.status === 'in_doubt' : sending !== undefined;
}

const historyLimit = 50;
const messageLimit = 300;

const newerSchema = z.looseObject({ v: z.int().gt(Math.max(...envelopeVersions)) });

export type ParsedEnvelope =
  | { readonly ok: true; readonly envelope: Envelope }
  /** `version`: of a newer release's envelope; undefined when it is not one of ours at all. */
  | { readonly ok: false; readonly reason: string; readonly version?: number };

/** Reads a job's data; what another program or a newer release wrote is not an exception but `ok: false`. */
export function parseEnvelope(data: unknown): ParsedEnvelope {
  const parsed = envelopeSchema.safeParse(data);
  if (parsed.success) return { ok: true, envelope: parsed.data };
  const newer = newerSchema.safeParse(data);
  return {
    ok: false,
    reason: z.prettifyError(parsed.error),
    ...(newer.success && { version: newer.data.v }),
  };
}

/** A new history with `entry` at its end: the first attempt and the latest ones stay, long messages are cut. */
export function appendHistory(history: readonly HistoryEntry[], entry: HistoryEntry): HistoryEntry[] {
  const message = entry.message === null ? null : entry.message.slice(0, messageLimit);
  const all = [...history, { ...entry, message }];
  return all.length <= historyLimit ? all : [...all.slice(0, 1), ...all.slice(1 - historyLimit)];
}
