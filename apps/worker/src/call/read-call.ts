/**
 * Turns a BullMQ job into a call that can be worked on, or says why this worker or nobody can.
 *
 * Always true: job data is parsed, never trusted; a call that was settled before is not made again unless a
 * person asked for it; sealed input is opened in memory only.
 */

import { type Envelope, parseEnvelope } from '@recloser/calls/call/envelope';
import type { Need } from '@recloser/calls/call/need';
import { openInput } from '@recloser/calls/call/seal-input';
import type { Span } from '@recloser/runtime/observe/tracing';
import type { Settleable } from './settle-call.ts';
import type { Call, CallJob, Judgement, Settled, WorkContext } from './work-context.ts';

export type ReadCall =
  /** `revived`: it was failed, and a person retries it. */
  | { readonly kind: 'call'; readonly call: Call; readonly revived: boolean }
  /** To be settled as `judgement` says, without an attempt. */
  | { readonly kind: 'unusable'; readonly call: Settleable; readonly judgement: Judgement }
  /** Another worker may have what it needs. `envelope` null: of a version that this release must not change. */
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
    context.log.error({ callId: id }, 'the data of a call cannot be read');
    const settled = unusable(
      'envelope_invalid',
      'What is stored of this call cannot be read by this release.',
    );
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
    const isOther = sealedWith !== undefined && !context.sealer.keys?.includes(sealedWith);
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
 * A verdict found on a running job has two causes. The worker died between writing it and failing the job:
 * then the job has stalled once more since, and the verdict stands. Or the job was failed and a person retries
 * it (Bull Board's button): then it is made again; a sending mark, if there is one, still leads to a read-back.
 */
function stillStands(verdict: Settled, job: CallJob): boolean {
  if (typeof verdict.stalls !== 'number') return true;
  return job.stalledCounter > verdict.stalls;
}

/** BullMQ counts all workers a job ever lost; those before the last thing that was stored do not matter. */
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

/** Ended without an attempt, so BullMQ's count of attempts is one too high. */
function unusable(code: string, message: string): Settled {
  return { status: 'failed', code, message, charged: false };
}
