/**
 * Calls with an `expiresAt`, kept by that time, so that those which wait too long are found without looking at
 * all the others. Written before the call itself: an entry without a call does nothing.
 */
import { deadlinesKey, type RedisClient } from './keys.ts';

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
