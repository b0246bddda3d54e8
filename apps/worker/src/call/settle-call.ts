/**
 * Carries out a judgement in BullMQ. The only file that uses BullMQ's control errors.
 *
 * The envelope is stored before the job moves, and only while this worker holds the lock. A verdict is stored before the
 * job fails, so that a crash in between does not repeat the call.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { CallReturnValue, Envelope } from '@recloser/calls/call/envelope';
import { sealValue } from '@recloser/calls/call/seal-input';
import { DelayedError, UnrecoverableError, WaitingError } from 'bullmq';
import { jittered } from '../queue/timings.ts';
import type { Call, CallJob, Judgement, Settled, WorkContext } from './work-context.ts';

/** The part of a call that settling needs. A call that could not be parsed has no `operation`. */
export type Settleable = Pick<Call, 'job' | 'id' | 'token'> & { readonly operation?: Call['operation'] };

/** This worker no longer holds the call's lock, so it must not write to the call. */
export class LockLost extends Error {
  readonly code = 'lock_lost';

  constructor() {
    super("this worker lost the call's lock; another worker continues with the call");
    this.name = 'LockLost';
  }
}

/** The reason of a charged attempt. Bull Board shows it. */
class AttemptFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AttemptFailed';
  }
}

/** True for the errors that `settleCall` throws on purpose: the call is settled. */
export function isVerdict(error: unknown): boolean {
  return [DelayedError, WaitingError, UnrecoverableError, AttemptFailed, LockLost].some(
    (verdict) => error instanceof verdict,
  );
}

/**
 * Carries out a judgement. Returns the job's return value on success; otherwise throws the control error for BullMQ.
 * Throws `LockLost` if this worker no longer holds the call.
 */
export async function settleCall(
  context: WorkContext,
  call: Settleable,
  judgement: Judgement,
): Promise<CallReturnValue> {
  switch (judgement.kind) {
    case 'succeeded':
      return succeed(context, call, judgement);
    case 'charge':
      return charge(context, call, judgement);
    case 'give-back':
      return giveBack(context, call, judgement);
    case 'leave':
      return leave(context, call, judgement);
    case 'final':
      return finish(context, call, judgement.envelope, judgement.settled);
    default:
      throw judgement satisfies never;
  }
}

function succeed(
  context: WorkContext,
  call: Settleable,
  { result, entry }: Extract<Judgement, { kind: 'succeeded' }>,
): CallReturnValue {
  // Mark, history and lock stay: the return value is the proof, and BullMQ refuses it if the lock is lost.
  return {
    result: call.operation?.sealedResult ? sealValue(result, context.sealer) : result,
    attempt: entry,
  };
}

async function charge(
  context: WorkContext,
  call: Settleable,
  { envelope, reason }: Extract<Judgement, { kind: 'charge' }>,
): Promise<never> {
  const { job } = call;
  if (job.attemptsMade + 1 >= (job.opts.attempts ?? 1)) {
    const { code, message, status: httpStatus } = reason;
    const settled: Settled = { status: 'failed', code, message, ...(httpStatus && { httpStatus }) };
    return finish(context, call, envelope, settled);
  }
  await save(context, call, envelope);
  // BullMQ counts the attempt and delays the job with the worker's backoff strategy.
  throw new AttemptFailed(`${reason.code}: ${reason.message}`);
}

async function giveBack(
  context: WorkContext,
  call: Settleable,
  { envelope, when, why, hold }: Extract<Judgement, { kind: 'give-back' }>,
): Promise<never> {
  const { job, token } = call;
  if (hold) await setHold(context, hold);
  await save(context, call, {
    ...envelope,
    deferrals: envelope.deferrals + 1,
    handedBack: { at: new Date().toISOString(), reason: why },
  });
  context.metrics.givenBack(why);
  if (when === 'now' || (when === 'held' && (await context.isQueuePaused()))) {
    await job.moveToWait(token);
    throw new WaitingError();
  }
  // If the queue is not paused, the call would be fetched again at once, so delay it briefly.
  const delayMs = when === 'held' ? jittered(context.timings.stepAsideMs) : when;
  await job.moveToDelayed(Date.now() + Math.max(1, Math.round(delayMs)), token);
  throw new DelayedError();
}

/** `seenStalls` stays unchanged: lost workers still count for the worker that can make the call. */
async function leave(
  context: WorkContext,
  { job, token }: Settleable,
  { envelope }: Extract<Judgement, { kind: 'leave' }>,
): Promise<never> {
  const { metrics, storeUnderLock, timings } = context;
  if (envelope) {
    const handedBack = { at: new Date().toISOString(), reason: 'not_understood' };
    const data: Envelope = { ...envelope, deferrals: envelope.deferrals + 1, handedBack };
    if (!(await storeUnderLock(job, token, data))) throw new LockLost();
  }
  metrics.givenBack('not_understood');
  const { leaveMinMs, leaveMaxMs, leaveRestMs } = timings;
  const delayMs = Math.round(leaveMinMs + Math.random() * (leaveMaxMs - leaveMinMs));
  await job.moveToDelayed(Date.now() + delayMs, token);
  // Block this slot briefly. A worker that gives back every call would otherwise fetch faster than all others.
  await pause(leaveRestMs);
  throw new DelayedError();
}

/** If the hold cannot be set, the next answer requests it again. The call is given back either way. */
async function setHold(
  context: WorkContext,
  { session, ...hold }: NonNullable<Extract<Judgement, { kind: 'give-back' }>['hold']>,
): Promise<void> {
  try {
    await context.breaker.holds.set({ ...hold, owner: context.workerId });
    if (hold.kind === 'sign-in') await releaseIfSignedIn(context, session);
  } catch (err) {
    context.log.warn({ err, hold: hold.kind }, 'a hold could not be set');
  }
}

/**
 * A sign-in that finished during this attempt may have released the hold before it was set here; then nothing would
 * release it. Checking after the hold is set is safe, because a sign-in stores its session before it releases.
 */
async function releaseIfSignedIn(
  { breaker, client, workerId }: WorkContext,
  session: string | undefined,
): Promise<void> {
  const current = await client.currentSession?.();
  if (!current || current === session) return;
  await breaker.holds.release('sign-in', { owner: workerId, reason: 'a newer session exists' });
}

async function finish(
  context: WorkContext,
  call: Settleable,
  envelope: Envelope,
  settled: Settled,
): Promise<never> {
  // The stall count distinguishes a crash right after this line from a retry by a person. See `stillStands`.
  await save(context, call, { ...envelope, settled: { ...settled, stalls: call.job.stalledCounter } });
  if (settled.status === 'in_doubt') await context.inDoubt.add(call.id, Date.now());
  context.metrics.finished(call.job.name, settled.status);
  throw new UnrecoverableError(`${settled.code}: ${settled.message}`);
}

/** Stores the envelope. Throws `LockLost` if this worker no longer holds the call. */
export async function save(
  context: Pick<WorkContext, 'storeUnderLock'>,
  { job, token }: { job: CallJob; token: string },
  envelope: Envelope,
): Promise<void> {
  // Stored data is progress, so the count of workers lost in a row restarts here.
  const data: Envelope = { ...envelope, seenStalls: job.stalledCounter };
  if (!(await context.storeUnderLock(job, token, data))) throw new LockLost();
  job.data = data;
}
