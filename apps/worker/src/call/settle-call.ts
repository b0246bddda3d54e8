/**
 * Carries a judgement out in BullMQ: returns, throws, delays. The only file that knows its control errors.
 *
 * Always true: what a call learned is stored before the call moves, and only while this worker holds its lock;
 * a call that is given back is never charged; a call is settled before it is failed, so that a crash in
 * between finds the verdict and repeats nothing.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { CallReturnValue, Envelope } from '@recloser/calls/call/envelope';
import { sealValue } from '@recloser/calls/call/seal-input';
import { DelayedError, UnrecoverableError, WaitingError } from 'bullmq';
import { jittered } from '../queue/timings.ts';
import type { Call, CallJob, Judgement, Settled, WorkContext } from './work-context.ts';

/** What settling needs of a call: it also settles calls that could not be understood. */
export type Settleable = Pick<Call, 'job' | 'id' | 'token'> & { readonly operation?: Call['operation'] };

/** The call's lock is gone: another worker has it, and whatever this one learned must not be written. */
export class LockLost extends Error {
  readonly code = 'lock_lost';

  constructor() {
    super('the lock of the call is lost, another worker goes on with it');
    this.name = 'LockLost';
  }
}

/** The reason of a charged attempt, as BullMQ and Bull Board show it. */
class AttemptFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AttemptFailed';
  }
}

/** True for what `settleCall` throws: the call's fate is decided, nothing else went wrong. */
export function isVerdict(error: unknown): boolean {
  return [DelayedError, WaitingError, UnrecoverableError, AttemptFailed, LockLost].some(
    (verdict) => error instanceof verdict,
  );
}

/**
 * Does to the job what was judged. Returns the job's return value on success and throws what BullMQ needs to
 * see otherwise. Throws `LockLost` when the call is no longer ours.
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
  // Mark, history and lock stay as they are: the return value is the proof, and BullMQ refuses it if the call is lost.
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
  // BullMQ counts the attempt and delays the job by the worker's backoff strategy.
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
  // With nothing that pauses the queue the call would come straight back: keep it off for a moment.
  const delayMs = when === 'held' ? jittered(context.timings.stepAsideMs) : when;
  await job.moveToDelayed(Date.now() + Math.max(1, Math.round(delayMs)), token);
  throw new DelayedError();
}

/** Only that it was given back is stored: the count of workers lost in a row is for those who can make it. */
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
  // Its place rests: a worker that only gives back would be the fastest and go through a long line again and again.
  await pause(leaveRestMs);
  throw new DelayedError();
}

/** A hold that could not be set is asked for again by the next answer; the call is given back all the same. */
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
 * Somebody may have signed in while this attempt found itself signed out, and have released the hold before it was
 * set: then nobody would ever release it. After setting, because a sign-in stores its session before it releases.
 */
async function releaseIfSignedIn(
  { breaker, client, workerId }: WorkContext,
  session: string | undefined,
): Promise<void> {
  const current = await client.currentSession?.();
  if (!current || current === session) return;
  await breaker.holds.release('sign-in', { owner: workerId, reason: 'somebody has signed in meanwhile' });
}

async function finish(
  context: WorkContext,
  call: Settleable,
  envelope: Envelope,
  settled: Settled,
): Promise<never> {
  // The stall count tells a crash right after this line from a retry that a person asked for: see `read-call`.
  await save(context, call, { ...envelope, settled: { ...settled, stalls: call.job.stalledCounter } });
  if (settled.status === 'in_doubt') await context.inDoubt.add(call.id, Date.now());
  context.metrics.finished(call.job.name, settled.status);
  throw new UnrecoverableError(`${settled.code}: ${settled.message}`);
}

/** Stores the envelope if, and only if, this worker still holds the call. Throws `LockLost`. */
export async function save(
  context: Pick<WorkContext, 'storeUnderLock'>,
  { job, token }: { job: CallJob; token: string },
  envelope: Envelope,
): Promise<void> {
  // Whatever is stored is progress: from here on the count of workers lost in a row begins anew.
  const data: Envelope = { ...envelope, seenStalls: job.stalledCounter };
  if (!(await context.storeUnderLock(job, token, data))) throw new LockLost();
  job.data = data;
}
