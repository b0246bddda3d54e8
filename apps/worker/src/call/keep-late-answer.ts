/**
 * What an attempt showed of a call that is another worker's by now, or nobody's: kept as evidence for whoever goes on
 * with it, never as a second truth.
 */
import type { HistoryEntry } from '@recloser/calls/call/envelope';
import type { WorkContext } from './work-context.ts';

type Shown = {
  readonly callId: string;
  readonly operation: string;
  readonly entry: HistoryEntry | undefined;
  /** Of a call that succeeded, as it is stored: sealed where it has to be. */
  readonly result?: unknown;
};

/** Keeps it. Never rejects. Reads are simply made again: nothing is kept of them. */
export async function keepLateAnswer(context: WorkContext, shown: Shown): Promise<void> {
  const { callId, entry } = shown;
  const operation = context.operations[shown.operation];
  context.log.warn({ callId, outcome: entry?.outcome ?? null }, 'the call was lost meanwhile');
  if (entry === undefined || operation === undefined || operation.effect === 'read') return;
  const { outcome, code, status, worker } = entry;
  const at = new Date().toISOString();
  const result = 'result' in shown && !operation.sealedResult ? { result: shown.result } : {};
  try {
    await context.noteLateAnswer({ callId, at, worker, outcome, code, status, ...result });
  } catch (err) {
    context.log.warn({ err, callId }, 'a late answer could not be kept');
  }
}
