/** Reads everything that Redis stores under a prefix, as text, so that a test can search it for secrets. */
import type { Redis } from 'ioredis';

/** Returns one text per key: its name and all its values. */
export async function redisContents(redis: Redis, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  const pattern = `${prefix.replace(/[[\]*?\\]/g, '\\$&')}*`;
  for (let cursor = '0'; ; ) {
    const [next, found] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000);
    keys.push(...found);
    cursor = next;
    if (cursor === '0') break;
  }
  return Promise.all(keys.map(async (key) => `${key} = ${JSON.stringify(await contentOf(redis, key))}`));
}

async function contentOf(redis: Redis, key: string): Promise<unknown> {
  const type = await redis.type(key);
  switch (type) {
    case 'string':
      return redis.get(key);
    case 'hash':
      return redis.hgetall(key);
    case 'list':
      return redis.lrange(key, 0, -1);
    case 'set':
      return redis.smembers(key);
    case 'zset':
      return redis.zrange(key, '0', '-1');
    case 'stream':
      return redis.xrange(key, '-', '+');
    case 'none':
      return null;
    default:
      throw new Error(`cannot read a ${type} for secrets`);
  }
}

/** Returns every string inside a JSON value. */
export function allStrings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(allStrings);
}
