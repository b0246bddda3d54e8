/**
 * The envelope: the data of a call's BullMQ job. A worker must read envelopes of the previous release, so new fields
 * are optional. Unknown fields are kept.
 */
import { z } from 'zod';

/** One attempt. `message` never contains secrets, personal data or raw bodies. */
export const historyEntrySchema = z.looseObject({
  at: z.string(),
  durationMs: z.number(),
  /** `done`, `retry`, `snooze`, `reject`, `in_doubt`, or an entry that the worker or admin adds. */
  outcome: z.string(),
  /** HTTP status of the response. Null if there was none. */
  status: z.number().nullable(),
  code: z.string().nullable(),
  message: z.string().nullable(),
  worker: z.string(),
});

/** The verdict on a call that did not succeed. */
export const settledSchema = z.looseObject({
  status: z.enum(['failed', 'expired', 'in_doubt', 'cancelled']),
  code: z.string(),
  message: z.string(),
  httpStatus: z.number().optional(),
  /**
   * Whether BullMQ's last counted attempt was really made. Default: true for a failed call or a call in doubt, false
   * for an expired or cancelled call.
   */
  charged: z.boolean().optional(),
});

/** The stored options of a call, with defaults filled in. */
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

/** The envelope versions that this release can read. */
export const envelopeVersions = [1];

export const envelopeSchema = z.looseObject({
  v: z.literal(1),
  operation: z.string(),
  /** Set for reads: identifies operation and input. See `write/last-good.ts`. */
  resultKey: z.string().optional(),
  /** The validated input. A personal field is `{sealed: string}`. */
  input: z.record(z.string(), z.unknown()),
  /** Fingerprint of the session key that sealed the input's personal fields. */
  sealedWith: z.string().optional(),
  options: storedOptionsSchema,
  createdAt: z.string(),
  requestId: z.string(),
  /** Name of the API key that submitted the call. */
  submittedBy: z.string().optional(),
  /** W3C trace headers. */
  trace: z.record(z.string(), z.string()).optional(),
  /** Number of times the call was returned to the queue without an attempt. */
  deferrals: z.number(),
  /** Number of failed trials of a half-open breaker that were not charged to the call. */
  trials: z.number(),
  history: z.array(historyEntrySchema),
  /** When and why the call was last returned to the queue. Relevant only if later than the last attempt. */
  handedBack: z.looseObject({ at: z.string(), reason: z.string() }).optional(),
  /** Stored before the first byte of an unsafe request is sent. */
  sending: z.looseObject({ at: z.string(), worker: z.string() }).optional(),
  /** `ended`: the upstream had finished the request when it responded, so two reads prove that the write is absent. */
  readBack: z
    .looseObject({ reads: z.number(), firstAt: z.string(), ended: z.boolean().optional() })
    .optional(),
  settled: settledSchema.optional(),
});

/** Return value of a succeeded call's job: the result (sealed if personal) and the successful attempt. */
export const returnValueSchema = z.looseObject({ result: z.unknown(), attempt: historyEntrySchema });

export type HistoryEntry = z.infer<typeof historyEntrySchema>;
export type Settled = z.infer<typeof settledSchema>;
export type Envelope = z.infer<typeof envelopeSchema>;
export type CallReturnValue = z.infer<typeof returnValueSchema>;

/**
 * True if an ended call is in doubt. A sending mark without a verdict means that the worker died between sending and
 * settling.
 */
export function isLeftInDoubt({ settled, sending }: Envelope): boolean {
  return settled ? settled.status === 'in_doubt' : sending !== undefined;
}

const historyLimit = 50;
const messageLimit = 300;

const newerSchema = z.looseObject({ v: z.int().gt(Math.max(...envelopeVersions)) });

export type ParsedEnvelope =
  | { readonly ok: true; readonly envelope: Envelope }
  /** `version` is set if a newer release wrote the envelope. */
  | { readonly ok: false; readonly reason: string; readonly version?: number };

/** Parses a job's data. Never throws. */
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

/** Appends an entry to the history. Keeps the first and the latest entries, and truncates long messages. */
export function appendHistory(history: readonly HistoryEntry[], entry: HistoryEntry): HistoryEntry[] {
  const message = entry.message === null ? null : entry.message.slice(0, messageLimit);
  const all = [...history, { ...entry, message }];
  return all.length <= historyLimit ? all : [...all.slice(0, 1), ...all.slice(1 - historyLimit)];
}
