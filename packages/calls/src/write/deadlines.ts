/**
 * Calls with an `expiresAt`, kept by that time, so that those which wait too long are found without looking at
 * all the others. Written before the call itself: an entry without a call does nothing.
 */
import type { Envelope } from '../call/envelope.ts';
import { deadlinesKey, type RedisClient } from '../call/keys.ts';

/** Notes when a call must have been made. Rejects when Redis fails. */
export async function noteDeadline(options: {
  readonly redis: RedisClient;
  readonly root: string;
  readonly id: string;
  /** ISO 8601. */
  readonly expiresAt: string;
}): Promise<void> {
  const { redis, root, id, expiresAt } = options;
  await redis.zadd(deadlinesKey(root), Date.parse(expiresAt), id);
}

/**
 * For a call that is to be made once more: notes its limit again, or lifts one that has passed, or it would expire at
 * once. Returns the envelope to store, the same one unless the limit was lifted. Rejects when Redis fails.
 */
export async function renewDeadline(options: {
  readonly redis: RedisClient;
  readonly root: string;
  readonly id: string;
  readonly envelope: Envelope;
  readonly nowMs: number;
}): Promise<Envelope> {
  const { redis, root, id, envelope, nowMs } = options;
  const { expiresAt, ...rest } = envelope.options;
  if (expiresAt === undefined) return envelope;
  if (Date.parse(expiresAt) <= nowMs) return { ...envelope, options: rest } as Envelope;
  await noteDeadline({ redis, root, id, expiresAt });
  return envelope;
}
