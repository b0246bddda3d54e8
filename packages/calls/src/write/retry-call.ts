/**
 * Retries a call: returns a call that ended without success to the queue. Used by the API, the board, retry runs and
 * the resend of a call in doubt. A call in doubt is only returned by a person's decision about that call. If two
 * requests race, one wins. `history` and `settled` stay in the envelope until a worker takes the call.
 */

import type { Redis } from '@recloser/runtime/redis/connection';
import { parseJson } from '@recloser/runtime/values/parse-json';
import type { Queue } from 'bullmq';
import { type Envelope, isLeftInDoubt, parseEnvelope } from '../call/envelope.ts';
import { type PutBack, putBack } from '../queue/put-back.ts';
import type { CallStatus } from '../read/status.ts';

export type RetryTarget = {
  readonly redis: Redis;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly root: string;
};

/** The statuses of calls that `retryCall` accepts. */
export const retryableStatuses: ReadonlySet<CallStatus> = new Set(['failed', 'expired', 'cancelled']);

/**
 * `waiting`: the call is back in the queue. `unfinished`: it is waiting or running, possibly because another request
 * retried it first. `unreadable`: another release wrote the envelope.
 */
export type RetryEnd = 'waiting' | 'unfinished' | 'succeeded' | 'in_doubt' | 'missing' | 'unreadable';

/** Returns a failed, expired or cancelled call to the queue with all its attempts. Rejects if Redis fails. */
export async function retryCall(target: RetryTarget, id: string, nowMs: number): Promise<RetryEnd> {
  const read = await readEnded(target, id);
  if (typeof read === 'string') return read;
  if (isLeftInDoubt(read.envelope)) return 'in_doubt';
  const again = withoutStandingVerdict(read.envelope);
  const back = await tryAgain(target, { id, ...read, again, nowMs, resetAttempts: true });
  return back === 'changed' ? 'unfinished' : back;
}

/**
 * A worker lets a verdict stand if the job has stalled since it was stored. Without this a retried call would end with
 * its old verdict if a worker died before it stored any progress.
 */
function withoutStandingVerdict(envelope: Envelope): Envelope {
  const { settled } = envelope;
  return settled ? { ...envelope, settled: { ...settled, stalls: Number.MAX_SAFE_INTEGER } } : envelope;
}

/** The envelope of a call in BullMQ's failed set, parsed and as stored text. */
export type EndedCall = { readonly stored: string; readonly envelope: Envelope };

/** Reads a call that ended without success, or returns why it cannot be retried. Rejects if Redis fails. */
export async function readEnded(
  { redis, queue }: RetryTarget,
  id: string,
): Promise<EndedCall | Exclude<RetryEnd, 'waiting' | 'in_doubt'>> {
  const [stored, failed, completed] = await Promise.all([
    redis.hget(queue.toKey(id), 'data'),
    redis.zscore(queue.toKey('failed'), id),
    redis.zscore(queue.toKey('completed'), id),
  ]);
  if (stored === null) return 'missing';
  if (completed !== null) return 'succeeded';
  if (failed === null) return 'unfinished';
  const parsed = parseEnvelope(parseJson(stored));
  return parsed.ok ? { stored, envelope: parsed.envelope } : 'unreadable';
}

/**
 * Returns an ended call to the queue with the envelope `again`, unless its stored data has changed since it was read.
 * An `expiresAt` in the past is removed, otherwise the call would expire immediately.
 */
export async function tryAgain(
  target: RetryTarget,
  options: EndedCall & {
    readonly id: string;
    readonly again: Envelope;
    readonly nowMs: number;
    readonly resetAttempts: boolean;
  },
): Promise<PutBack> {
  const { id, stored, again, nowMs, resetAttempts } = options;
  const { expiresAt, ...unlimited } = again.options;
  const isPast = expiresAt !== undefined && Date.parse(expiresAt) <= nowMs;
  const envelope = isPast ? { ...again, options: unlimited } : again;
  const expires = isPast ? undefined : expiresAt;
  const toBe = JSON.stringify(envelope);
  return putBack({ ...target, id, asRead: stored, toBe, expiresAt: expires, resetAttempts });
}
