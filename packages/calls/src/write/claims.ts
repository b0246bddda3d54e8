/**
 * Claims: which call created an upstream resource, such as a visit. They keep a read-back from crediting one resource
 * to two calls. A call can repeat its own claim. A claim ends when its call is no longer kept.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

export type ClaimsIn = {
  readonly redis: Redis;
  readonly root: string;
  readonly queue: Pick<Queue, 'toKey'>;
};

/** Hash of an upstream's claims: resource id → call id. */
export function claimsKey(root: string): string {
  return `${root}:claims`;
}

/**
 * KEYS: claims. ARGV: resource id, call id, prefix of job keys. The holder's job key is not in KEYS because it is known
 * only after the read. It has the same hash tag.
 */
const claimScript = `
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder and holder ~= ARGV[2] and redis.call('EXISTS', ARGV[3] .. holder) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
`;

/** Claims a resource that a call found by a read-back. Returns false if another kept call holds it. */
export async function claim({ redis, root, queue }: ClaimsIn, id: string, callId: string): Promise<boolean> {
  return (await redis.eval(claimScript, 1, claimsKey(root), id, callId, queue.toKey(''))) === 1;
}

/** Claims a resource that the upstream's response named. It replaces any earlier claim. */
export async function credit({ redis, root }: Pick<ClaimsIn, 'redis' | 'root'>, id: string, callId: string) {
  await redis.hset(claimsKey(root), id, callId);
}

/** KEYS: claims. ARGV: resource id, call id, prefix of job keys. Removes a claim whose call is no longer kept. */
const forgetScript = `
if redis.call('EXISTS', ARGV[3] .. ARGV[2]) == 1 or redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
`;

/** Removes the claims of calls that are no longer kept. Examines about `most` claims at most. */
export async function sweepClaims({ redis, root, queue }: ClaimsIn, most = 50_000): Promise<number> {
  const key = claimsKey(root);
  let [cursor, looked, forgotten] = ['0', 0, 0];
  do {
    const [next, flat] = await redis.hscan(key, cursor, 'COUNT', 500);
    const claims = Array.from({ length: flat.length / 2 }, (_, at) => flat.slice(2 * at, 2 * at + 2));
    const kept = await Promise.all(claims.map(([, callId = '']) => redis.exists(queue.toKey(callId))));
    for (const [index, [id = '', callId = '']] of claims.entries()) {
      if (kept[index] === 1) continue;
      forgotten += Number(await redis.eval(forgetScript, 1, key, id, callId, queue.toKey('')));
    }
    looked += claims.length;
    cursor = next;
  } while (cursor !== '0' && looked < most);
  return forgotten;
}
