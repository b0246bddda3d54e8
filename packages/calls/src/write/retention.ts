/**
 * Retention of finished calls. BullMQ trims succeeded calls. Workers trim failed calls with `trimFailed`, because
 * BullMQ's failed set also contains the calls in doubt, which must stay until a person has settled them.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { isLeftInDoubt, parseEnvelope } from '../call/envelope.ts';
import { failedTrimmedKey, inDoubtKey } from '../call/keys.ts';

/** Maximum age and number of succeeded calls per upstream. */
export type SucceededRetention = { readonly ageSeconds: number; readonly count: number };

/** Default retention of succeeded calls. */
export const succeededRetention: SucceededRetention = { ageSeconds: 24 * 60 * 60, count: 10_000 };

/** Default retention of failed calls per upstream. */
export const failedRetention = { maxAgeMs: 14 * 24 * 60 * 60 * 1000, maxCount: 50_000 } as const;

const batchSize = 500;

/** Removes failed calls that are older than `maxAgeMs` or exceed `maxCount`, oldest first. Keeps calls in doubt. */
export async function trimFailed(options: {
  redis: Redis;
  queue: Pick<Queue, 'getJob' | 'remove' | 'toKey'>;
  root: string;
  maxAgeMs: number;
  maxCount: number;
}): Promise<{ removed: number }> {
  const { redis, queue, maxAgeMs, maxCount } = options;
  const failed = queue.toKey('failed');
  const oldestMs = Number((await redis.time())[0]) * 1000 - maxAgeMs;
  let removed = 0;
  let spared = 0;
  for (;;) {
    const tooMany = (await redis.zcard(failed)) - maxCount;
    const tooOld = await redis.zcount(failed, '-inf', oldestMs);
    // The set is ordered by finish time. Calls in doubt stay at its start, so skip those found so far.
    const last = Math.min(Math.max(tooMany, tooOld), spared + batchSize) - 1;
    const excess = last < spared ? [] : await redis.zrange(failed, spared, String(last));
    if (excess.length === 0) return { removed };
    for (const id of excess) {
      const endedMs = await redis.zscore(failed, id);
      const gone = !(await isInDoubt({ ...options, id })) && (await queue.remove(id)) === 1;
      if (gone) {
        removed += 1;
        // A missing call that is older than this was trimmed: the API answers 410.
        if (endedMs !== null) await redis.set(failedTrimmedKey(options.root), endedMs);
      } else spared += 1;
    }
  }
}

async function isInDoubt(options: {
  redis: Redis;
  queue: Pick<Queue, 'getJob'>;
  root: string;
  id: string;
}): Promise<boolean> {
  if ((await options.redis.zscore(inDoubtKey(options.root), options.id)) !== null) return true;
  const job = await options.queue.getJob(options.id);
  if (!job) return false;
  const parsed = parseEnvelope(job.data);
  return parsed.ok && isLeftInDoubt(parsed.envelope);
}
