/**
 * Which call was credited with what a write made upstream (a visit's id), so that no read-back takes one thing for
 * the work of two calls. One hash per upstream: id → call id.
 *
 * Always true: an id that another kept call holds cannot be claimed; a call keeps its own claim however often it is
 * delivered; a claim is forgotten with its call, by `sweepClaims`, or sooner when somebody else asks for the id.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

export type ClaimsIn = {
  readonly redis: Redis;
  readonly root: string;
  readonly queue: Pick<Queue, 'toKey'>;
};

/** Hash of what calls were credited with: id → call id. */
export function claimsKey(root: string): string {
  return `${root}:claims`;
}

/**
 * KEYS: claims. ARGV: id, call id, start of the keys of calls. The key of the holder cannot be known before it is read;
 * it carries the same hash tag.
 */
const claimScript = `
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder and holder ~= ARGV[2] and redis.call('EXISTS', ARGV[3] .. holder) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
`;

/** Claims `id` for a call that found it by reading. False: another kept call holds it. */
export async function claim({ redis, root, queue }: ClaimsIn, id: string, callId: string): Promise<boolean> {
  return (await redis.eval(claimScript, 1, claimsKey(root), id, callId, queue.toKey(''))) === 1;
}

/** Credits a call with `id`, which the upstream's own answer named: no other call can have made it since. */
export async function credit({ redis, root }: Pick<ClaimsIn, 'redis' | 'root'>, id: string, callId: string) {
  await redis.hset(claimsKey(root), id, callId);
}

/**
 * KEYS: claims. ARGV: id, call id, start of the keys of calls. Forgets a claim whose call is gone, unless another call
 * took it meanwhile.
 */
const forgetScript = `
if redis.call('EXISTS', ARGV[3] .. ARGV[2]) == 1 or redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
`;

/** Forgets the claims of calls that are kept no more, looking at no more than about `most` of them. */
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
