/**
 * What workers learned about calls that were no longer theirs: a worker was frozen past its lock, another went on
 * with the call, then the first woke up and got its answer.
 *
 * Always true: this is evidence for a person and nothing else; no code decides anything by it. Capped, and without
 * personal values.
 */
import type { Redis } from '@recloser/runtime/redis/connection';

/** One late answer. `at` is ISO 8601, when it was recorded. `result` as JSON, only of a write and only when not personal. */
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

/** The stream of an upstream's late answers. */
export function lateAnswersKey(root: string): string {
  return `${root}:late-answers`;
}

/** Keeps one. Rejects when Redis fails. */
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

/** The kept late answers of these calls, oldest first. Rejects when Redis fails. */
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
