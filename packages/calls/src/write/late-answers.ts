/**
 * Late answers: responses that a worker received after it had lost the lock of the call, for example because it was
 * frozen. They are evidence for a person; no code makes decisions from them. They contain no personal data.
 */
import type { Redis } from '@recloser/runtime/redis/connection';

/**
 * One late answer. `at` is the time of recording in ISO 8601. `result` is set only for a write without personal data.
 */
export type LateAnswer = {
  readonly callId: string;
  readonly at: string;
  readonly worker: string;
  readonly outcome: string;
  readonly code: string | null;
  readonly status: number | null;
  readonly result?: unknown;
};

const maxEntries = 1_000;

/** Stream of an upstream's late answers. */
export function lateAnswersKey(root: string): string {
  return `${root}:late-answers`;
}

/** Records a late answer. Rejects if Redis fails. */
export async function noteLateAnswer(redis: Redis, root: string, answer: LateAnswer): Promise<void> {
  const text = JSON.stringify(answer);
  await redis.xadd(
    lateAnswersKey(root),
    'MAXLEN',
    '~',
    maxEntries,
    '*',
    'call',
    answer.callId,
    'answer',
    text,
  );
}

/** The recorded late answers of these calls, oldest first. Rejects if Redis fails. */
export async function readLateAnswers(
  redis: Redis,
  root: string,
  callIds: ReadonlySet<string>,
): Promise<readonly LateAnswer[]> {
  const entries = await redis.xrange(lateAnswersKey(root), '-', '+');
  return entries.flatMap(([, [, callId, , text]]) =>
    callId !== undefined && text !== undefined && callIds.has(callId) ? [JSON.parse(text) as LateAnswer] : [],
  );
}
