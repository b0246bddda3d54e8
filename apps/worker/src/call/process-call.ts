/**
 * One turn of a call's BullMQ job: parse it, check its expiry, ask the breaker for a permit, make one attempt, settle.
 *
 * A call with a sending mark is read back, never simply made again. A call that was in doubt is read once more right
 * before it is sent again.
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
import type { Call, CallJob, Judgement, WorkContext } from './work-context.ts';

/** Takes one turn of a call. Returns its result, or throws the error that tells BullMQ what to do with the job. */
export async function processCall(
  context: WorkContext,
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

async function takeTurn(context: WorkContext, read: ReadCall): Promise<CallReturnValue> {
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

/** Settles the call. If the lock is lost, keeps the attempt as a late answer. `CallWorker` does so for a success. */
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

async function judgeCall(context: WorkContext, call: Call): Promise<Judgement> {
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

async function judgeInside(context: WorkContext, call: Call): Promise<Judgement> {
  const { envelope } = call;
  // Fetched just before the worker started to stop.
  if (context.stop.quiet) return { kind: 'give-back', envelope, when: 'now', why: 'shutdown' };
  if (envelope.sending) return readBack(context, call);
  if (envelope.doubted === undefined) return judgeFresh(context, call);
  const found = await readBeforeResend(context, call);
  return found.kind === 'absent' ? judgeFresh(context, { ...call, envelope: found.envelope }) : found;
}

async function judgeFresh(context: WorkContext, call: Call): Promise<Judgement> {
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

/** Credits the call with the id that its write created. A failure does not change the result. */
async function credit(context: WorkContext, { id, operation }: Call, result: unknown): Promise<void> {
  if (operation.makes === undefined) return;
  const made = (result as Readonly<Record<string, unknown>>)[operation.makes];
  if (typeof made !== 'string') return;
  try {
    await context.claims.credit(made, id);
  } catch (err) {
    context.log.warn({ err, callId: id }, 'the id that a call created could not be credited to it');
  }
}

/** The call may be what crashes the workers, so no worker continues with it automatically. */
function judgeCrashLoop({ envelope, lostWorkers }: Call): Judgement {
  const message = `${lostWorkers} workers in a row crashed or froze while they held the call.`;
  const reason = { code: 'workers_lost', message };
  if (envelope.sending) return inDoubt(envelope, reason);
  return { kind: 'final', envelope, settled: { status: 'failed', charged: false, ...reason } };
}

/** Removes the old verdict first, so that a crash does not restore it. */
async function revive(context: WorkContext, call: Call): Promise<void> {
  await save(context, call, call.envelope);
  await context.inDoubt.remove(call.id);
}

/** Our own code failed. The data stored last decides: a call that may have been sent is only read back. */
function judgeFault({ timings }: WorkContext, { job, envelope }: Call): Judgement {
  const { sending } = job.data;
  if (!sending) {
    const reason = { code: 'worker_error', message: 'The worker failed while processing the call.' };
    return { kind: 'charge', envelope, reason };
  }
  return { kind: 'give-back', envelope: job.data, when: 10 * timings.stepAsideMs, why: 'fault' };
}
