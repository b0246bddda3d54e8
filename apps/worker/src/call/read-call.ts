/**
 * Parses a BullMQ job into a call, or explains why this worker or no worker can make it. Job data is untrusted.
 *
 * A call that was settled before is made again only if a person retried it. Input is decrypted in memory only.
 */
import { type Envelope, parseEnvelope } from '@recloser/calls/call/envelope';
import type { Need } from '@recloser/calls/call/need';
import { openInput } from '@recloser/calls/call/seal-input';
import type { Span } from '@recloser/runtime/observe/tracing';
import type { Settleable } from './settle-call.ts';
import type { Call, CallJob, Judgement, Settled, WorkContext } from './work-context.ts';

export type ReadCall =
  /** `revived`: the call had failed and a person retried it. */
  | { readonly kind: 'call'; readonly call: Call; readonly revived: boolean }
  /** Settled by `judgement`, without an attempt. */
  | { readonly kind: 'unusable'; readonly call: Settleable; readonly judgement: Judgement }
  /** Another worker may be able to make it. `envelope` null: a newer version, which this release must not change. */
  | {
      readonly kind: 'not-understood';
      readonly call: Settleable;
      readonly need: Need;
      readonly envelope: Envelope | null;
    };

/** Reads a job. Never throws for what the job contains. */
export function readCall(
  context: Pick<WorkContext, 'operations' | 'sealer' | 'log'>,
  job: CallJob,
  token: string,
  signal: AbortSignal,
  turn: Span,
): ReadCall {
  const id = job.id ?? '';
  const parsed = parseEnvelope(job.data);
  if (!parsed.ok && parsed.version !== undefined) {
    const need: Need = { kind: 'envelope', version: parsed.version };
    return { kind: 'not-understood', call: { job, id, token }, need, envelope: null };
  }
  if (!parsed.ok) {
    context.log.error({ callId: id }, 'the stored data of a call is invalid');
    const settled = unusable('envelope_invalid', 'The stored data of this call is invalid.');
    return {
      kind: 'unusable',
      call: { job, id, token },
      judgement: { kind: 'final', envelope: job.data, settled },
    };
  }
  const { settled: verdict, ...rest } = parsed.envelope;
  const envelope = rest as Envelope;
  const operation = context.operations[envelope.operation];
  const settleable: Settleable = { job, id, token, ...(operation && { operation }) };
  const end = (settled: Settled): ReadCall => ({
    kind: 'unusable',
    call: settleable,
    judgement: { kind: 'final', envelope, settled },
  });
  if (verdict && stillStands(verdict, job)) return end(verdict);
  const leave = (need: Need): ReadCall => ({
    kind: 'not-understood',
    call: settleable,
    need,
    envelope: parsed.envelope,
  });
  if (!operation) return leave({ kind: 'operation', name: envelope.operation });
  const input = open(context, envelope);
  if (input === undefined) {
    const { sealedWith } = envelope;
    const isOther = sealedWith !== undefined && !context.sealer.keys.includes(sealedWith);
    return leave({ kind: 'session-key', fingerprint: isOther ? sealedWith : null });
  }
  return {
    kind: 'call',
    call: {
      job,
      id,
      token,
      envelope,
      operation,
      lostWorkers: lostWorkers(job, envelope),
      input,
      signal,
      turn,
    },
    revived: verdict !== undefined,
  };
}

/**
 * A running job has a verdict for one of two reasons. If the worker died between storing it and failing the job, the job
 * has stalled since and the verdict stands. Otherwise a person retried the failed job (Bull Board's button), and the call
 * is made again, or read back if it has a sending mark.
 */
function stillStands(verdict: Settled, job: CallJob): boolean {
  if (typeof verdict.stalls !== 'number') return true;
  return job.stalledCounter > verdict.stalls;
}

/** BullMQ counts every stall of a job. Those before the last stored progress do not count. */
function lostWorkers(job: CallJob, { seenStalls }: Envelope): number {
  return job.stalledCounter - (typeof seenStalls === 'number' ? seenStalls : 0);
}

function open({ sealer }: Pick<WorkContext, 'sealer'>, envelope: Envelope): unknown {
  try {
    return openInput(envelope.input, sealer);
  } catch {
    return undefined;
  }
}

/** No attempt was made, so BullMQ's `attemptsMade` is one too high. */
function unusable(code: string, message: string): Settled {
  return { status: 'failed', code, message, charged: false };
}
