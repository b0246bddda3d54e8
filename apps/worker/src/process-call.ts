/**
 * The straight line of a call: read it, see whether it still wants to be made, ask the breaker, make one
 * attempt, settle. Every turn of a BullMQ job goes through here once.
 *
 * Always true: a call that carries the sending mark is never simply made again; nothing is attempted without
 * the breaker's leave.
 */
import type { CallReturnValue } from '@recloser/calls/envelope';
import { attemptCall } from './attempt-call.ts';
import { isExpired } from './envelope-changes.ts';
import { judgeAttempt } from './judge-attempt.ts';
import { readBack } from './read-back.ts';
import { readCall } from './read-call.ts';
import { suspectAfterStalls } from './room.ts';
import { isVerdict, save, settleCall } from './settle-call.ts';
import type { Call, CallJob, Judgement, Permit, WorkContext } from './work-context.ts';

/** Takes a call one step further. Returns its result, or throws what tells BullMQ what happens to it next. */
export async function processCall<P extends Permit>(
  context: WorkContext<P>,
  job: CallJob,
  token: string,
  signal: AbortSignal,
): Promise<CallReturnValue> {
  const read = readCall(context, job, token, signal);
  if (read.kind === 'unusable') return settleCall(context, read.call, read.judgement);
  const { call } = read;
  try {
    if (read.revived) await revive(context, call);
    return await settleCall(context, call, await judgeCall(context, call));
  } catch (error) {
    if (isVerdict(error)) throw error;
    context.log.error({ err: error, callId: call.id }, 'a call could not be processed');
    return settleCall(context, call, judgeFault(context, call));
  }
}

async function judgeCall<P extends Permit>(context: WorkContext<P>, call: Call): Promise<Judgement> {
  const { envelope, job } = call;
  const entered = await context.room.enter(job.stalledCounter >= suspectAfterStalls);
  if (!entered) return { kind: 'give-back', envelope, when: 'held', why: 'suspect' };
  try {
    return await judgeInside(context, call);
  } finally {
    context.room.leave();
  }
}

async function judgeInside<P extends Permit>(context: WorkContext<P>, call: Call): Promise<Judgement> {
  const { envelope, operation } = call;
  // Fetched in the moment the worker began to stop.
  if (context.stop.quiet) return { kind: 'give-back', envelope, when: 'now', why: 'shutdown' };
  if (envelope.sending) return readBack(context, call);
  if (isExpired(envelope)) {
    const message = `It was not made before ${envelope.options.expiresAt}.`;
    return {
      kind: 'final',
      envelope,
      settled: { status: 'expired', code: 'expired', message, charged: false },
    };
  }
  const admission = await context.breaker.admit(call.id, operation.timeoutMs);
  if (admission.kind === 'wait') return { kind: 'give-back', envelope, when: 'held', why: 'no_permit' };
  const exchanged = await attemptCall(context, call, admission.permit);
  return judgeAttempt(context, call, admission.permit, exchanged);
}

/** The old verdict goes first: a crash from here on must not bring it back. */
async function revive(context: WorkContext, call: Call): Promise<void> {
  await save(context, call, call.envelope);
  await context.inDoubt.remove(call.id);
}

/** Something of ours broke. What was stored last decides: a call that may have been sent is only read back. */
function judgeFault({ timings }: WorkContext, { job, envelope }: Call): Judgement {
  const { sending } = job.data;
  if (!sending) {
    const reason = { code: 'worker_error', message: 'The worker failed while processing the call.' };
    return { kind: 'charge', envelope, reason };
  }
  return { kind: 'give-back', envelope: job.data, when: 10 * timings.stepAsideMs, why: 'fault' };
}
