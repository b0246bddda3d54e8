/**
 * Reads back a write that was sent without a definite answer. See docs/in-doubt.md, "Read-back".
 *
 * Reads follow at growing intervals, because an upstream may show a write late or apply it after our timeout. A read is
 * never charged. The sending mark stays until the write is proved absent. If nothing can be proved, a person decides.
 */
import type { Envelope } from '@recloser/calls/call/envelope';
import type { Verification } from '@recloser/upstreams/contract/upstream';
import { jittered } from '../queue/timings.ts';
import { type AttemptResult, verifyCall, verifyTimeoutMs } from './attempt-call.ts';
import { backoffMs } from './backoff.ts';
import { historyEntry, isExpired, remember, unmarked } from './envelope-changes.ts';
import { inDoubt, snooze } from './judge-attempt.ts';
import { isRedisTrouble } from './redis-trouble.ts';
import type { Call, Judgement, WorkContext } from './work-context.ts';

/**
 * Progress of a read-back. `failures`: failed reads in a row. `ended`: the upstream had finished the request when it
 * answered, so two reads are enough. `code`, `message`: why the call is in doubt.
 */
type Progress = {
  readonly reads: number;
  readonly firstAt: string;
  readonly failures: number;
  readonly ended: boolean;
  readonly code: string;
  readonly message: string;
};

/** `field` of the envelope: `readBack` while the mark stands, `doubted` once the write was proved absent. */
type Reading = Progress & { readonly field?: 'readBack' | 'doubted' };

/** Takes one turn of a call that carries the sending mark. */
export async function readBack(context: WorkContext, call: Call): Promise<Judgement> {
  const progress = progressOf(call.envelope);
  if (!context.client.canVerify(call.operation.name)) return inDoubt(call.envelope, progress);
  const envelope = { ...call.envelope, readBack: progress };
  const { readBackWaitsMs } = context.timings;
  const dueMs = Date.parse(progress.firstAt) + (readBackWaitsMs[progress.reads] ?? 0);
  if (Date.now() < dueMs) return { kind: 'give-back', envelope, when: dueMs - Date.now(), why: 'read_back' };
  const admission = await context.breaker.admit(call.id, verifyTimeoutMs(call.operation));
  if (admission.kind === 'wait') return { kind: 'give-back', envelope, when: 'held', why: 'no_permit' };
  const attemptResult = await verifyCall(context, { ...call, envelope }, admission.permit);
  return judgeReadBack(context, call, progress, attemptResult);
}

/**
 * The last read before a call that was proved absent is sent again. While the call waited for its backoff or a hold, the
 * upstream may have applied the first request. `absent`: the call may be sent now.
 */
export async function readBeforeResend(
  context: WorkContext,
  call: Call,
): Promise<Judgement | { readonly kind: 'absent'; readonly envelope: Envelope }> {
  const { envelope } = call;
  if (!context.client.canVerify(call.operation.name)) return { kind: 'absent', envelope };
  const admission = await context.breaker.admit(call.id, verifyTimeoutMs(call.operation));
  if (admission.kind === 'wait') return { kind: 'give-back', envelope, when: 'held', why: 'no_permit' };
  const attemptResult = await verifyCall(context, call, admission.permit);
  const progress = progressFrom(envelope.doubted);
  if (attemptResult.kind === 'answered' && attemptResult.answer.kind === 'absent') {
    return { kind: 'absent', envelope: { ...attemptResult.envelope, doubted: { ...progress, failures: 0 } } };
  }
  return judgeReadBack(context, call, { ...progress, field: 'doubted' }, attemptResult);
}

/** A mark without progress was left by a worker that died. Its waits start now. */
function progressOf(envelope: Envelope): Progress {
  return progressFrom(envelope.readBack);
}

function progressFrom(stored: unknown): Progress {
  const found = (stored ?? {}) as { readonly [Name in keyof Progress]?: unknown };
  const { reads, firstAt, failures, ended, code, message } = found;
  return {
    reads: typeof reads === 'number' ? reads : 0,
    firstAt: typeof firstAt === 'string' ? firstAt : new Date().toISOString(),
    failures: typeof failures === 'number' ? failures : 0,
    ended: ended === true,
    code: typeof code === 'string' ? code : 'worker_lost',
    message:
      typeof message === 'string'
        ? message
        : 'The worker crashed or froze after it may have sent the request.',
  };
}

function judgeReadBack(
  context: WorkContext,
  call: Call,
  progress: Reading,
  attemptResult: AttemptResult<Verification>,
): Judgement {
  const { envelope } = attemptResult;
  if (attemptResult.kind === 'cut') return { kind: 'give-back', envelope, when: 'now', why: 'shutdown' };
  if (attemptResult.kind === 'broken') {
    if (!attemptResult.begun) return { kind: 'give-back', envelope, when: 'held', why: 'not_run' };
    if (isRedisTrouble(attemptResult.error)) {
      return { kind: 'give-back', envelope, when: jittered(context.timings.stepAsideMs), why: 'fault' };
    }
    return readAgain(context, call, progress, envelope, 'The worker failed during the read-back.');
  }
  const { answer } = attemptResult;
  switch (answer.kind) {
    case 'applied': {
      const proof = {
        outcome: 'done',
        code: 'read_back_applied',
        message: 'The read-back found the write.',
      };
      const entry = historyEntry(context, attemptResult, proof);
      return { kind: 'succeeded', result: answer.result, entry };
    }
    case 'absent':
      return judgeAbsent(context, progress, attemptResult);
    case 'unprovable': {
      const entry = historyEntry(context, attemptResult, { ...answer, outcome: 'in_doubt' });
      return inDoubt(remember(envelope, entry), answer);
    }
    case 'unreadable':
      return judgeUnreadable(context, call, progress, attemptResult, answer.outcome);
    default:
      throw answer satisfies never;
  }
}

function judgeAbsent(
  context: WorkContext,
  progress: Progress,
  attemptResult: Extract<AttemptResult<Verification>, { kind: 'answered' }>,
): Judgement {
  const { readBackWaitsMs } = context.timings;
  const reads = progress.reads + 1;
  const needed = progress.ended ? 2 : Math.max(2, readBackWaitsMs.length);
  const entry = historyEntry(context, attemptResult, {
    outcome: 'in_doubt',
    code: 'read_back_absent',
    message: `Read-back ${reads} of ${needed} did not find the write.`,
  });
  const known = remember(attemptResult.envelope, entry);
  if (reads >= needed) {
    // Proved absent: the original attempt is charged now, and the call may be made again.
    return {
      kind: 'charge',
      envelope: { ...unmarked(known), doubted: { ...progress, reads, failures: 0 } },
      reason: {
        code: progress.code,
        message: `${progress.message} Read-backs proved that the write was not done.`,
      },
    };
  }
  const dueMs = Date.parse(progress.firstAt) + (readBackWaitsMs[reads] ?? 0);
  const envelope = { ...known, readBack: { ...progress, reads, failures: 0 } };
  return { kind: 'give-back', envelope, when: Math.max(1, dueMs - Date.now()), why: 'read_back' };
}

function judgeUnreadable(
  context: WorkContext,
  call: Call,
  progress: Reading,
  attemptResult: Extract<AttemptResult<Verification>, { kind: 'answered' }>,
  outcome: Extract<Verification, { kind: 'unreadable' }>['outcome'],
): Judgement {
  const envelope = remember(
    attemptResult.envelope,
    historyEntry(context, attemptResult, { ...outcome, outcome: outcome.kind }),
  );
  switch (outcome.kind) {
    case 'snooze':
      return snooze(context, envelope, outcome.hold);
    case 'reject':
      // The read will never succeed.
      return inDoubt(envelope, outcome);
    case 'retry':
    case 'in_doubt':
      return readAgain(context, call, progress, envelope, outcome.message);
    default:
      throw outcome satisfies never;
  }
}

function readAgain(
  { timings }: WorkContext,
  call: Call,
  { field = 'readBack', ...progress }: Reading,
  envelope: Envelope,
  message: string,
): Judgement {
  const failures = progress.failures + 1;
  if (failures >= timings.unreadableLimit || isExpired(envelope)) {
    const code = 'read_back_failed';
    return inDoubt(envelope, { code, message: `The read-back failed: ${message}` });
  }
  return {
    kind: 'give-back',
    envelope: { ...envelope, [field]: { ...progress, failures } },
    when: backoffMs(call.operation.retry, failures),
    why: 'read_back',
  };
}
