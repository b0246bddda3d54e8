/** Everything under a prefix of a Redis as JSON, and back again; types of values instead of Redis' own dump, which only newer servers read. */
import type { Redis } from 'ioredis';

type StoredValue =
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'hash'; readonly value: Readonly<Record<string, string>> }
  | { readonly type: 'list'; readonly value: readonly string[] }
  | { readonly type: 'set'; readonly value: readonly string[] }
  /** Members and scores in turn. */
  | { readonly type: 'zset'; readonly value: readonly string[] }
  | { readonly type: 'stream'; readonly value: readonly (readonly [string, string[]])[] };

/** One key; `ttlMs` is what it still had to live. */
export type StoredKey = { readonly key: string; readonly ttlMs?: number } & StoredValue;

/** Reads all keys that begin with `prefix`, in alphabetical order. */
export async function dumpRedis(redis: Redis, prefix: string): Promise<StoredKey[]> {
  const keys = (await redis.keys(`${prefix}*`)).toSorted();
  return Promise.all(
    keys.map(async (key) => {
      const ttlMs = await redis.pttl(key);
      return { key, ...(ttlMs > 0 && { ttlMs }), ...(await dumpValue(redis, key)) };
    }),
  );
}

async function dumpValue(redis: Redis, key: string): Promise<StoredValue> {
  const type = await redis.type(key);
  switch (type) {
    case 'string':
      return { type, value: (await redis.get(key)) ?? '' };
    case 'hash':
      return { type, value: await redis.hgetall(key) };
    case 'list':
      return { type, value: await redis.lrange(key, 0, -1) };
    case 'set':
      return { type, value: await redis.smembers(key) };
    case 'zset':
      return { type, value: await redis.zrange(key, 0, '-1', 'WITHSCORES') };
    case 'stream':
      return { type, value: (await redis.xrange(key, '-', '+')) as [string, string[]][] };
    default:
      throw new Error(`${key} is a ${type}, which no release of ours has written so far`);
  }
}

/** Writes what `dumpRedis` read; the keys must not be there yet. */
export async function restoreRedis(redis: Redis, contents: readonly StoredKey[]): Promise<void> {
  for (const stored of contents) {
    await restoreValue(redis, stored);
    if (stored.ttlMs) await redis.pexpire(stored.key, stored.ttlMs);
  }
}

async function restoreValue(redis: Redis, stored: StoredKey): Promise<void> {
  const { key } = stored;
  switch (stored.type) {
    case 'string':
      await redis.set(key, stored.value);
      return;
    case 'hash':
      await redis.hset(key, stored.value);
      return;
    case 'list':
      await redis.rpush(key, ...stored.value);
      return;
    case 'set':
      await redis.sadd(key, ...stored.value);
      return;
    case 'zset':
      for (let i = 0; i + 1 < stored.value.length; i += 2) {
        await redis.zadd(key, stored.value[i + 1] ?? '0', stored.value[i] ?? '');
      }
      return;
    case 'stream':
      for (const [id, fields] of stored.value) await redis.xadd(key, id, ...fields);
      return;
  }
}
