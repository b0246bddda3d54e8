/**
 * Decides what an attempt means for its call. Pure: no I/O. See docs/in-doubt.md.
 *
 * Only a definite outcome clears the sending mark. An ambiguous write is read back or left to a person, never repeated.
 */
import type { Permit } from '@recloser/breaker/upstream-breaker';
import type { Envelope } from '@recloser/calls/call/envelope';
import type { Outcome } from '@recloser/upstreams/contract/upstream';
import { jittered, type Timings } from '../queue/timings.ts';
import type { AttemptResult } from './attempt-call.ts';
import { historyEntry, remember, unmarked } from './envelope-changes.ts';
import { isRedisTrouble } from './redis-trouble.ts';
import type { Call, Judgement, Reason, WorkContext } from './work-context.ts';

type JudgeContext = Pick<WorkContext, 'workerId' | 'client' | 'timings'>;

/** Judges an attempt made under `permit`. */
export function judgeAttempt(
  context: JudgeContext,
  call: Call,
  permit: Pick<Permit, 'trial' | 'proven'>,
  attemptResult: AttemptResult<Outcome>,
): Judgement {
  const { envelope } = attemptResult;
  if (attemptResult.kind === 'cut') return { kind: 'give-back', envelope, when: 'now', why: 'shutdown' };
  if (attemptResult.kind === 'broken') return judgeBroken(context, call, attemptResult);
  const { answer } = attemptResult;
  const entry = historyEntry(context, attemptResult, { ...answer, outcome: answer.kind });
  const known = remember(envelope, entry);
  switch (answer.kind) {
    case 'done':
      return { kind: 'succeeded', result: answer.result, entry };
    case 'retry':
      return judgeRetry(context, permit, answer, unmarked(known));
    case 'snooze':
      return snooze(context, unmarked(known), answer.hold);
    case 'reject':
      return rejected(unmarked(known), answer);
    case 'in_doubt':
      return doubt(context, call, known, answer);
    default:
      throw answer satisfies never;
  }
}

/** Our own code failed: in doubt if the request may have been sent, otherwise a failed attempt. */
function judgeBroken(
  context: JudgeContext,
  call: Call,
  attemptResult: Extract<AttemptResult<Outcome>, { kind: 'broken' }>,
): Judgement {
  const { envelope } = attemptResult;
  const reason = { code: 'worker_error', message: 'The worker failed while making the attempt.' };
  // The breaker's limit on parallel attempts refused it before the client started.
  if (!attemptResult.begun) return { kind: 'give-back', envelope, when: 'held', why: 'not_run' };
  // Redis failed, not the upstream and not the call.
  if (!envelope.sending && isRedisTrouble(attemptResult.error)) {
    return { kind: 'give-back', envelope, when: jittered(context.timings.stepAsideMs), why: 'fault' };
  }
  const outcome = envelope.sending ? 'in_doubt' : 'retry';
  const known = remember(envelope, historyEntry(context, attemptResult, { ...reason, outcome }));
  return envelope.sending
    ? doubt(context, call, known, reason)
    : { kind: 'charge', envelope: unmarked(known), reason };
}

function judgeRetry(
  { timings }: JudgeContext,
  permit: Pick<Permit, 'trial' | 'proven'>,
  answer: Extract<Outcome, { kind: 'retry' }>,
  envelope: Envelope,
): Judgement {
  const free = permit.trial && !permit.proven && answer.health === 'down';
  if (!free || envelope.trials >= timings.freeTrials) return { kind: 'charge', envelope, reason: answer };
  // A failed trial does not count against the call. The growing delay lets other calls be the next trial.
  const trials = envelope.trials + 1;
  const behind = jittered(timings.stepAsideMs * 2 ** trials);
  return { kind: 'give-back', envelope: { ...envelope, trials }, when: behind, why: 'trial' };
}

/** Sets the requested hold and gives the call back uncharged. Null: a fault of this machine, so no hold is set. */
export function snooze(
  { timings }: { readonly timings: Timings },
  envelope: Envelope,
  requested: Extract<Outcome, { kind: 'snooze' }>['hold'],
): Judgement {
  if (requested === null) {
    return { kind: 'give-back', envelope, when: jittered(timings.stepAsideMs), why: 'fault' };
  }
  const { kind, reason } = requested;
  const forMs =
    requested.kind === 'rate-limit' ? rateLimitMs(timings, requested.delayMs) : (requested.forMs ?? null);
  const session = requested.kind === 'sign-in' ? requested.session : undefined;
  const hold = { kind, reason, forMs, ...(session !== undefined && { session }) };
  return { kind: 'give-back', envelope, when: 'held', why: 'hold', hold };
}

/** Clamped, then lengthened at random, so that the holds of several upstreams do not end together. */
function rateLimitMs(timings: Timings, askedMs: number): number {
  // The upstream's header is untrusted and may not be a number.
  const asked = Number.isFinite(askedMs) ? askedMs : timings.rateLimitMinMs;
  const clamped = Math.min(timings.rateLimitMaxMs, Math.max(timings.rateLimitMinMs, asked));
  return Math.round(clamped * (1 + Math.random() * timings.rateLimitJitter));
}

function rejected(envelope: Envelope, answer: Extract<Outcome, { kind: 'reject' }>): Judgement {
  const { code, message, status: httpStatus } = answer;
  const settled = {
    status: 'failed',
    code,
    message,
    ...(httpStatus !== undefined && { httpStatus }),
  } as const;
  return { kind: 'final', envelope, settled };
}

function doubt(
  context: JudgeContext,
  call: Call,
  known: Envelope,
  why: Reason & { readonly ended?: boolean },
): Judgement {
  const provable = context.client.canVerify(call.operation.name);
  if (!provable && call.operation.effect !== 'unsafe') {
    // Safe to repeat.
    return { kind: 'charge', envelope: unmarked(known), reason: why };
  }
  const now = new Date().toISOString();
  // An idempotent operation has no mark yet; the read-back needs one.
  const sending = known.sending ?? { at: now, worker: context.workerId };
  const envelope = { ...known, sending };
  if (!provable) return inDoubt(envelope, why);
  const { code, message, ended = false } = why;
  const readBack = { reads: 0, firstAt: now, failures: 0, ended, code, message };
  const firstWait = context.timings.readBackWaitsMs[0] ?? 0;
  return { kind: 'give-back', envelope: { ...envelope, readBack }, when: firstWait, why: 'read_back' };
}

/** The call is left to a person. */
export function inDoubt(envelope: Envelope, why: Reason): Judgement {
  const { code, message, status: httpStatus } = why;
  const settled = {
    status: 'in_doubt',
    code,
    message,
    ...(httpStatus !== undefined && { httpStatus }),
  } as const;
  return { kind: 'final', envelope, settled };
}
