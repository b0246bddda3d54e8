/**
 * The way of a call that was sent without proof: it is not made again, it is asked after. Reads follow in
 * growing waits, because an upstream may show a write late or apply it after we gave up.
 *
 * Always true: a read-back is charged to nobody; the sending mark stays until the upstream proved the write
 * absent; a write that was in doubt is sent again only right after one more read that did not show it; whatever
 * cannot be proved goes to a person.
 */
import type { Envelope } from '@recloser/calls/call/envelope';
import type { Verification } from '@recloser/upstreams/contract/upstream';
import { jittered } from '../queue/timings.ts';
import { type AttemptResult, verifyCall, verifyTimeoutMs } from './attempt-call.ts';
import { backoffMs } from './backoff.ts';
import { historyEntry, isExpired, remember, unmarked } from './envelope-changes.ts';
import { inDoubt, snooze } from './judge-attempt.ts';
import { isRedisTrouble } from './redis-trouble.ts';
import type { Call, Judgement, Permit, WorkContext } from './work-context.ts';

/**
 * Where a read-back stands. `failures`: reads in a row that did not work. `ended`: the upstream was done with the
 * request when it answered, so two reads are enough. `code`, `message`: why it began.
 */
type Progress = {
  readonly reads: number;
  readonly firstAt: string;
  readonly failures: number;
  readonly ended: boolean;
  readonly code: string;
  readonly message: string;
};

/** Where the envelope keeps it: `readBack` while the mark stands, `doubted` once it was proved absent. */
type Reading = Progress & { readonly field?: 'readBack' | 'doubted' };

/** Takes the next step of a call that carries the sending mark. */
export async function readBack<P extends Permit>(context: WorkContext<P>, call: Call): Promise<Judgement> {
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
 * The last look at a call that was in doubt and proved absent, right before it is sent again: since then it may have
 * waited for its backoff or behind a hold, and a late write may have landed. `absent`: it may be sent now.
 */
export async function readBeforeResend<P extends Permit>(
  context: WorkContext<P>,
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

/** A mark without progress was left by a worker that died: the waits begin now, when it was found. */
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
    message: typeof message === 'string' ? message : 'The worker was lost after the request had been sent.',
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
    return readAgain(context, call, progress, envelope, 'The worker failed while reading back.');
  }
  const { answer } = attemptResult;
  switch (answer.kind) {
    case 'applied': {
      const proof = {
        outcome: 'done',
        code: 'read_back_applied',
        message: 'Reading back showed it was done.',
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
    message: `Reading back (${reads} of ${needed}) did not show it.`,
  });
  const known = remember(attemptResult.envelope, entry);
  if (reads >= needed) {
    // Proved absent: the attempt that began this is charged now, once, and may be made again.
    return {
      kind: 'charge',
      envelope: { ...unmarked(known), doubted: { ...progress, reads, failures: 0 } },
      reason: { code: progress.code, message: `${progress.message} Reading back proved it absent.` },
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
      // The upstream will never answer this read.
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
    return inDoubt(envelope, { code, message: `It could not be read back: ${message}` });
  }
  return {
    kind: 'give-back',
    envelope: { ...envelope, [field]: { ...progress, failures } },
    when: backoffMs(call.operation.retry, failures),
    why: 'read_back',
  };
}
