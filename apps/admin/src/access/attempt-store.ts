/**
 * Counts login attempts in Redis, so that a restart or a second admin process does not reset the count. A counter and
 * its expiry are written atomically.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { ClientRateLimitInfo, Options, Store } from 'express-rate-limit';

const countScript = `
local hits = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {hits, left}`;

const giveBackScript = `
if redis.call('EXISTS', KEYS[1]) == 1 and tonumber(redis.call('GET', KEYS[1])) > 0 then
  redis.call('DECR', KEYS[1])
end
return 0`;

/** A store for express-rate-limit. Each `name` has its own counters. */
export class AttemptStore implements Store {
  readonly localKeys = false;
  readonly prefix: string;
  readonly #redis: Redis;
  #windowMs = 60_000;

  constructor({ redis, prefix, name }: { redis: Redis; prefix: string; name: string }) {
    this.#redis = redis;
    this.prefix = `${prefix}:admin-attempts:${name}:`;
  }

  init(options: Options): void {
    this.#windowMs = options.windowMs;
  }

  async increment(key: string): Promise<ClientRateLimitInfo> {
    const reply = await this.#redis.eval(countScript, 1, this.prefix + key, this.#windowMs);
    const [hits, leftMs] = reply as [number, number];
    return { totalHits: hits, resetTime: new Date(Date.now() + leftMs) };
  }

  async decrement(key: string): Promise<void> {
    await this.#redis.eval(giveBackScript, 1, this.prefix + key);
  }

  async resetKey(key: string): Promise<void> {
    await this.#redis.del(this.prefix + key);
  }
}
