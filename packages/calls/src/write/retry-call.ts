/**
 * "Try again": makes a call that ended without success wait again. The API, the board, the retry runs and the resend of
 * a call in doubt all do it here.
 *
 * Always true: a call that may have been done is put back only by a person's decision about that very call; of two who
 * ask at once one wins. History and verdict stay in the envelope until a worker takes the call.
 */
import type { Queue } from 'bullmq';
import { type Envelope, isLeftInDoubt, parseEnvelope } from '../call/envelope.ts';
import type { RedisClient } from '../call/keys.ts';
import { type PutBack, putBack } from '../queue/put-back.ts';
import type { CallStatus } from '../read/status.ts';

export type RetryTarget = {
  readonly redis: RedisClient;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly root: string;
};

/** The calls that `retryCall` puts back. */
export const retryableStatuses: ReadonlySet<CallStatus> = new Set(['failed', 'expired', 'cancelled']);

/**
 * `waiting`: it waits again. `unfinished`: it waits or runs, also when somebody else was faster. `unreadable`: another
 * release wrote it.
 */
export type RetryEnd = 'waiting' | 'unfinished' | 'succeeded' | 'in_doubt' | 'missing' | 'unreadable';

/** Puts a failed, expired or cancelled call back with all its attempts. Rejects when Redis fails. */
export async function retryCall(target: RetryTarget, id: string, nowMs: number): Promise<RetryEnd> {
  const read = await readEnded(target, id);
  if (typeof read === 'string') return read;
  if (isLeftInDoubt(read.envelope)) return 'in_doubt';
  const back = await tryAgain(target, { id, ...read, again: read.envelope, nowMs, resetAttempts: true });
  return back === 'changed' ? 'unfinished' : back;
}

/** A call in BullMQ's failed set, and its data as it is stored. */
export type EndedCall = { readonly stored: string; readonly envelope: Envelope };

/** Reads a call that ended without success, or says why it is none. Rejects when Redis fails. */
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
 * Puts an ended call back as `again`, if it is still as it was read. A limit that has passed is lifted, or the call
 * would expire at once; one that has not holds again.
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
