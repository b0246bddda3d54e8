/** The recent throughput of an upstream, from the completion times that BullMQ stores. */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

/** Calls per second: `fast` in the busiest stretch of the sample, `slow` in the median one. */
export type Throughput = { readonly fast: number; readonly slow: number };

const sampleSize = 200;
const stretch = 10;
/** Minimum number of completed calls. */
const least = 5;
/** Lower bound of `slow` as a share of `fast`. Idle stretches do not show how fast a full queue drains. */
const slowestShare = 1 / 4;

/** Measures the throughput of the last completed calls. Undefined if there are too few. */
export async function readThroughput(options: {
  redis: Redis;
  queue: Pick<Queue, 'toKey'>;
}): Promise<Throughput | undefined> {
  const { redis, queue } = options;
  const reply = await redis.zrevrange(queue.toKey('completed'), 0, sampleSize - 1, 'WITHSCORES');
  return throughputOf(reply.filter((_, index) => index % 2 === 1).map(Number));
}

/** The throughput for completion times in ms since 1970, latest first. */
export function throughputOf(times: readonly number[]): Throughput | undefined {
  if (times.length < least) return undefined;
  const length = Math.min(stretch, times.length);
  const rates: number[] = [];
  for (let first = 0; first + length <= times.length; first += 1) {
    const spanMs = (times[first] as number) - (times[first + length - 1] as number);
    rates.push(((length - 1) * 1000) / Math.max(50, spanMs));
  }
  rates.sort((a, b) => a - b);
  const fast = rates.at(-1) as number;
  const median = rates[Math.floor(rates.length / 2)] as number;
  return { fast, slow: Math.max(median, fast * slowestShare) };
}
