/**
 * How long finished calls are kept. Succeeded ones are trimmed by BullMQ itself. Failed ones are not:
 * calls in doubt share BullMQ's failed set and must stay until a person has judged them, so the worker
 * runs `trimFailed`, which spares those.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { isLeftInDoubt, parseEnvelope } from '../call/envelope.ts';
import { failedTrimmedKey, inDoubtKey } from '../call/keys.ts';

/** How long, and how many, succeeded calls are kept per upstream. */
export type SucceededRetention = { readonly ageSeconds: number; readonly count: number };

/** What is kept of succeeded calls unless configured otherwise. */
export const succeededRetention: SucceededRetention = { ageSeconds: 24 * 60 * 60, count: 10_000 };

/** How long, and how many, failed calls are kept per upstream. */
export const failedRetention = { maxAgeMs: 14 * 24 * 60 * 60 * 1000, maxCount: 50_000 } as const;

const batchSize = 500;

/** Removes failed calls that are older than `maxAgeMs` or beyond `maxCount`, oldest first; never one in doubt. */
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
    // The set is ordered by the time of failure: what must go is at its start, behind the spared ones.
    const last = Math.min(Math.max(tooMany, tooOld), spared + batchSize) - 1;
    const excess = last < spared ? [] : await redis.zrange(failed, spared, String(last));
    if (excess.length === 0) return { removed };
    for (const id of excess) {
      const endedMs = await redis.zscore(failed, id);
      const gone = !(await isInDoubt({ ...options, id })) && (await queue.remove(id)) === 1;
      if (gone) {
        removed += 1;
        // Whoever asks for a call made before this moment is told that it is no longer kept.
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
