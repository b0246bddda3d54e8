/** The call as `GET /v1/calls/{id}` returns it. Every field is always present; an unknown value is null. */

import type { Redis } from '@recloser/runtime/redis/connection';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import { isoTime } from '@recloser/runtime/values/iso-time';
import type { Job, Queue } from 'bullmq';
import { type Envelope, type HistoryEntry, parseEnvelope, returnValueSchema } from '../call/envelope.ts';
import { isSealed, maskInput, openValue } from '../call/seal-input.ts';
import { type Placement, readPlacement } from '../queue/placement.ts';
import type { Throughput } from '../queue/throughput.ts';
import { type Estimate, estimateOf } from './estimate.ts';
import { type ActiveHold, type CallStatus, callStatus, isFinished, nextAttemptMs } from './status.ts';

/** A hold as the API shows it. */
export type HoldView = {
  readonly kind: string;
  readonly owner: string;
  readonly reason: string;
  readonly since: string;
  readonly until: string | null;
};

export type CallView = {
  readonly id: string;
  readonly upstream: string;
  readonly operation: string;
  readonly status: CallStatus;
  readonly input: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly attempts: { made: number; max: number; deferrals: number; stalls: number };
  readonly history: readonly HistoryEntry[];
  readonly nextAttemptAt: string | null;
  readonly holds: readonly HoldView[];
  readonly position: number | null;
  /** Null unless the call is waiting. */
  readonly estimate: Estimate | null;
  readonly result: unknown;
  readonly error: { code: string; message: string; status: number | null } | null;
  readonly links: { readonly self: string; readonly upstream: string };
};

/** What the view needs of a BullMQ job. */
export type StoredJob = Pick<
  Job,
  | 'id'
  | 'name'
  | 'data'
  | 'opts'
  | 'attemptsMade'
  | 'stalledCounter'
  | 'processedOn'
  | 'finishedOn'
  | 'returnvalue'
>;

/** A job and its placement when it was read. */
export type StoredCall = { readonly job: StoredJob; readonly placement: Placement };

const readsUntilSettled = 3;

/** Reads a stored call. Undefined if no call with this id is kept. */
export async function readCall(options: {
  redis: Redis;
  queue: Pick<Queue, 'getJob' | 'toKey'>;
  id: string;
}): Promise<StoredCall | undefined> {
  for (let read = 1; ; read += 1) {
    const [placement, job] = await Promise.all([readPlacement(options), options.queue.getJob(options.id)]);
    if (!job) return undefined;
    const ended = placement.state === 'completed' || placement.state === 'failed';
    // The call may finish between the two reads. Read again until they agree.
    const agrees = ended === (job.finishedOn !== undefined);
    if (agrees || read === readsUntilSettled) return { job, placement };
  }
}

/** Renders the call. Without a `sealer`, a personal result is shown as `[sealed]`. */
export function callView(options: {
  upstream: string;
  call: StoredCall;
  holds: readonly ActiveHold[];
  nowMs: number;
  sealer?: Sealer;
  /** Without it, `estimate.finishBetween` is null. */
  throughput?: Throughput;
}): CallView {
  const { upstream, call, nowMs, sealer } = options;
  const { job, placement } = call;
  const id = job.id ?? '';
  const envelope = envelopeOf(job);
  const facts = { envelope, placement, attemptsMade: job.attemptsMade, holds: options.holds, nowMs };
  const status = callStatus(facts);
  const success = status === 'succeeded' ? returnValueSchema.safeParse(job.returnvalue).data : undefined;
  const history = success ? [...envelope.history, success.attempt] : envelope.history;
  // `processedOn` is used only for running and succeeded calls. A list does not read the attempt of a succeeded call,
  // and
  // a waiting call may have been picked up and returned to the queue without an attempt.
  const begun = placement.state === 'active' || status === 'succeeded';
  const waiting = placement.state === 'waiting' || placement.state === 'delayed';
  const nextMs = nextAttemptMs(facts);
  const result = resultOf(success?.result, sealer);
  const position = placement.state === 'waiting' ? placement.position : null;
  return {
    id,
    upstream,
    operation: envelope.operation,
    status,
    input: maskInput(envelope.input),
    options: envelope.options,
    createdAt: envelope.createdAt,
    startedAt: history[0]?.at ?? (begun ? isoTime(job.processedOn ?? null) : null),
    finishedAt: isFinished(status) ? isoTime(job.finishedOn ?? null) : null,
    attempts: {
      made: attemptsCharged(envelope, job.attemptsMade, status),
      max: job.opts.attempts ?? envelope.options.maxAttempts,
      deferrals: envelope.deferrals,
      stalls: job.stalledCounter ?? 0,
    },
    history: history.map(publicEntry),
    nextAttemptAt: isoTime(nextMs),
    holds: waiting ? options.holds.map(holdView) : [],
    position,
    estimate: estimateOf({
      status,
      holds: options.holds,
      position,
      nextAttemptMs: nextMs,
      nowMs,
      ...(envelope.handedBack && { handedBack: envelope.handedBack.reason }),
      ...(options.throughput && { throughput: options.throughput }),
    }),
    result: result.kind === 'opened' ? result.value : null,
    error: result.kind === 'closed' ? unopenable : errorOf(envelope, status),
    links: { self: `/v1/calls/${id}`, upstream: `/v1/upstreams/${upstream}` },
  };
}

export function holdView(hold: ActiveHold): HoldView {
  const { kind, owner, reason, since, until } = hold;
  return { kind, owner, reason, since: new Date(since).toISOString(), until: isoTime(until) };
}

/** BullMQ counts an attempt whenever a job ends, even if no request was made. */
function attemptsCharged(envelope: Envelope, attemptsMade: number, status: CallStatus): number {
  const endedBySettling = envelope.settled !== undefined && isFinished(status) && status !== 'succeeded';
  if (!endedBySettling) return attemptsMade;
  const charged = envelope.settled?.charged ?? (status === 'failed' || status === 'in_doubt');
  return charged ? attemptsMade : Math.max(0, attemptsMade - 1);
}

function errorOf(envelope: Envelope, status: CallStatus): CallView['error'] {
  if (!isFinished(status) || status === 'succeeded') return null;
  if (envelope.settled) {
    const { code, message, httpStatus } = envelope.settled;
    return { code, message, status: httpStatus ?? null };
  }
  return status === 'in_doubt'
    ? {
        code: 'sent_without_answer',
        message: 'The request was sent, but the worker stopped before it received the response.',
        status: null,
      }
    : { code: 'worker_failed', message: 'The worker could not finish the call.', status: null };
}

/** The `error` of a succeeded call whose result this process cannot decrypt. */
const unopenable = {
  code: 'result_unreadable',
  message:
    'The call succeeded, but this process does not have the SESSION_KEY that its result is encrypted with.',
  status: null,
};

type Result = { readonly kind: 'opened'; readonly value: unknown } | { readonly kind: 'closed' };

function resultOf(stored: unknown, sealer: Sealer | undefined): Result {
  if (!isSealed(stored)) return { kind: 'opened', value: stored ?? null };
  if (!sealer) return { kind: 'opened', value: '[sealed]' };
  try {
    return { kind: 'opened', value: openValue(stored, sealer) };
  } catch {
    return { kind: 'closed' };
  }
}

function publicEntry(entry: HistoryEntry): HistoryEntry {
  const { at, durationMs, outcome, status, code, message, worker } = entry;
  return { at, durationMs, outcome, status, code, message, worker };
}

/** The job's envelope. If it cannot be parsed, the call is shown with the fields that BullMQ stores itself. */
function envelopeOf(job: StoredJob): Envelope {
  const parsed = parseEnvelope(job.data);
  if (parsed.ok) return parsed.envelope;
  return {
    v: 1,
    operation: job.name,
    input: {},
    options: { ifOpen: 'defer', priority: 0, maxAttempts: job.opts.attempts ?? 0 },
    createdAt: new Date(job.opts.timestamp ?? 0).toISOString(),
    requestId: '',
    deferrals: 0,
    trials: 0,
    history: [],
  };
}
