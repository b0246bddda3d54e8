/**
 * The straight line of a call: read it, see whether it still wants to be made, ask the breaker, make one
 * attempt, settle. Every turn of a BullMQ job goes through here once.
 *
 * Always true: a call that carries the sending mark is never simply made again; nothing is attempted without
 * the breaker's leave; a call that was in doubt once is looked for right before it is sent again.
 */
import type { CallReturnValue } from '@recloser/calls/call/envelope';
import { attemptCall } from './attempt-call.ts';
import { isExpired } from './envelope-changes.ts';
import { inDoubt, judgeAttempt } from './judge-attempt.ts';
import { keepLateAnswer } from './keep-late-answer.ts';
import { readBack, readBeforeResend } from './read-back.ts';
import { type ReadCall, readCall } from './read-call.ts';
import { isVerdict, LockLost, save, settleCall } from './settle-call.ts';
import { suspectAfterStalls } from './suspect-gate.ts';
import { traceTurn } from './trace-call.ts';
import type { Call, CallJob, Judgement, Permit, WorkContext } from './work-context.ts';

/** Takes a call one step further. Returns its result, or throws what tells BullMQ what happens to it next. */
export async function processCall<P extends Permit>(
  context: WorkContext<P>,
  job: CallJob,
  token: string,
  signal: AbortSignal,
): Promise<CallReturnValue> {
  const turn = traceTurn(context, job);
  try {
    return await takeTurn(context, readCall(context, job, token, signal, turn));
  } finally {
    turn.end();
  }
}

async function takeTurn<P extends Permit>(context: WorkContext<P>, read: ReadCall): Promise<CallReturnValue> {
  if (read.kind === 'not-understood') {
    context.leftCalls.note(read.need, read.call.id);
    return settleCall(context, read.call, { kind: 'leave', envelope: read.envelope });
  }
  if (read.kind === 'unusable') return settleCall(context, read.call, read.judgement);
  const { call } = read;
  try {
    if (read.revived) await revive(context, call);
    return await settle(context, call, await judgeCall(context, call));
  } catch (error) {
    if (isVerdict(error)) throw error;
    call.turn.fail('worker_error');
    context.log.error({ err: error, callId: call.id, ...call.turn.ids }, 'a call could not be processed');
    return settleCall(context, call, judgeFault(context, call));
  }
}

/** Settles. Should the call be another worker's by now, what was learned is kept as evidence; see also `CallWorker`. */
async function settle(context: WorkContext, call: Call, judgement: Judgement): Promise<CallReturnValue> {
  call.turn.set({ 'recloser.judgement': judgement.kind });
  if (judgement.kind === 'give-back') call.turn.set({ 'recloser.given_back': judgement.why });
  if (judgement.kind === 'final') call.turn.set({ 'recloser.status': judgement.settled.status });
  try {
    return await settleCall(context, call, judgement);
  } catch (error) {
    if (error instanceof LockLost && judgement.kind !== 'succeeded' && judgement.kind !== 'leave') {
      const last = judgement.envelope.history.at(-1);
      const entry = last === call.envelope.history.at(-1) ? undefined : last;
      await keepLateAnswer(context, { callId: call.id, operation: call.operation.name, entry });
    }
    throw error;
  }
}

async function judgeCall<P extends Permit>(context: WorkContext<P>, call: Call): Promise<Judgement> {
  const { envelope, lostWorkers } = call;
  if (lostWorkers >= context.timings.crashLoopStalls) return judgeCrashLoop(call);
  const entered = await context.suspectGate.enter(lostWorkers >= suspectAfterStalls);
  if (!entered) return { kind: 'give-back', envelope, when: 'held', why: 'suspect' };
  try {
    return await judgeInside(context, call);
  } finally {
    context.suspectGate.leave();
  }
}

async function judgeInside<P extends Permit>(context: WorkContext<P>, call: Call): Promise<Judgement> {
  const { envelope } = call;
  // Fetched in the moment the worker began to stop.
  if (context.stop.quiet) return { kind: 'give-back', envelope, when: 'now', why: 'shutdown' };
  if (envelope.sending) return readBack(context, call);
  if (envelope.doubted === undefined) return judgeFresh(context, call);
  const found = await readBeforeResend(context, call);
  return found.kind === 'absent' ? judgeFresh(context, { ...call, envelope: found.envelope }) : found;
}

async function judgeFresh<P extends Permit>(context: WorkContext<P>, call: Call): Promise<Judgement> {
  const { envelope, operation } = call;
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
  const attemptResult = await attemptCall(context, call, admission.permit);
  const judgement = judgeAttempt(context, call, admission.permit, attemptResult);
  if (judgement.kind === 'succeeded') await credit(context, call, judgement.result);
  return judgement;
}

/** Remembers whose work the answer named. The answer stands also if that fails. */
async function credit(context: WorkContext, { id, operation }: Call, result: unknown): Promise<void> {
  if (operation.makes === undefined) return;
  const made = (result as Readonly<Record<string, unknown>>)[operation.makes];
  if (typeof made !== 'string') return;
  try {
    await context.claims.credit(made, id);
  } catch (err) {
    context.log.warn({ err, callId: id }, 'could not remember what a call was credited with');
  }
}

/** It may be what kills them: nobody's worker shall go on with it by itself. */
function judgeCrashLoop({ envelope, lostWorkers }: Call): Judgement {
  const message = `${lostWorkers} workers in a row were lost while they had it.`;
  const reason = { code: 'workers_lost', message };
  if (envelope.sending) return inDoubt(envelope, reason);
  return { kind: 'final', envelope, settled: { status: 'failed', charged: false, ...reason } };
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
