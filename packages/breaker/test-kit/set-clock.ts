/** A clock in Redis that tests set. */
import type { RedisConnection } from '../src/scripts.ts';

/** Replaces `lua/clock.lua`. */
export const clockLua = `local function now() return tonumber(redis.call('GET', KEYS[1] .. ':clock') or '1000000') end`;

/** Sets the time that the scripts of this upstream see, in ms. */
export async function setClock(redis: RedisConnection, root: string, ms: number): Promise<void> {
  await redis.set(`${root}:breaker:clock`, ms);
}
