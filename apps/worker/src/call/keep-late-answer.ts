/** A late answer: the result of an attempt whose call this worker no longer holds. It does not change the call. */
import type { HistoryEntry } from '@recloser/calls/call/envelope';
import type { WorkContext } from './work-context.ts';

type LateAttempt = {
  readonly callId: string;
  readonly operation: string;
  readonly entry: HistoryEntry | undefined;
  /** The stored result of a call that succeeded, encrypted if the operation requires it. */
  readonly result?: unknown;
};

/** Stores the late answer for a person to see. Never rejects. Reads are repeated, so theirs are not stored. */
export async function keepLateAnswer(context: WorkContext, late: LateAttempt): Promise<void> {
  const { callId, entry } = late;
  const operation = context.operations[late.operation];
  context.log.warn({ callId, outcome: entry?.outcome ?? null }, 'the lock was lost during the attempt');
  if (entry === undefined || operation === undefined || operation.effect === 'read') return;
  const { outcome, code, status, worker } = entry;
  const at = new Date().toISOString();
  const result = 'result' in late && !operation.sealedResult ? { result: late.result } : {};
  try {
    await context.noteLateAnswer({ callId, at, worker, outcome, code, status, ...result });
  } catch (err) {
    context.log.warn({ err, callId }, 'a late answer could not be stored');
  }
}
