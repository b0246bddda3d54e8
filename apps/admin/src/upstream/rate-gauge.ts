/**
 * Calls accepted and finished per minute, and the time to drain the backlog. Finished calls are counted from
 * BullMQ's timestamps; accepted calls follow from the change of the backlog. An unknown rate is null, not zero.
 */
import type { QueueDepth } from '@recloser/calls/queue/depth';
import { readThroughput, type Throughput } from '@recloser/calls/queue/throughput';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

/** Rates. `drainSeconds` is [best, worst] case; null without a backlog or a known throughput. */
export type Rates = {
  readonly inPerMinute: number | null;
  readonly outPerMinute: number;
  readonly drainSeconds: readonly [number, number] | null;
};

type Sample = { readonly atMs: number; readonly unfinished: number };

const windowMs = 60_000;
const shortestMs = 5_000;
const throughputFreshMs = 5_000;

/** One upstream's gauge. It keeps samples of the last minute. */
export class RateGauge {
  readonly #redis: Redis;
  readonly #queue: Queue;
  #samples: readonly Sample[] = [];
  #throughput: { readonly atMs: number; readonly value: Throughput | undefined } | undefined;

  constructor({ redis, queue }: { redis: Redis; queue: Queue }) {
    this.#redis = redis;
    this.#queue = queue;
  }

  /** `backlog`: calls that wait to be made. `nowMs`: Redis' clock. */
  async read(depth: QueueDepth, backlog: number, nowMs: number): Promise<Rates> {
    const unfinished = depth.waiting + depth.delayed + depth.active;
    this.#samples = [
      ...this.#samples.filter(({ atMs }) => atMs < nowMs && nowMs - atMs <= windowMs),
      { atMs: nowMs, unfinished },
    ];
    const oldest = this.#samples[0] as Sample;
    const spanMs = nowMs - oldest.atMs;
    const [lastMinute, sinceOldest] = await Promise.all([
      this.#finishedSince(nowMs - windowMs),
      this.#finishedSince(oldest.atMs),
    ]);
    const cameIn = unfinished - oldest.unfinished + sinceOldest;
    return {
      inPerMinute: spanMs < shortestMs ? null : Math.max(0, Math.round((cameIn * windowMs) / spanMs)),
      outPerMinute: lastMinute,
      drainSeconds: await this.#drain(backlog, nowMs),
    };
  }

  async #finishedSince(ms: number): Promise<number> {
    const counts = await Promise.all(
      ['completed', 'failed'].map((part) => this.#redis.zcount(this.#queue.toKey(part), `(${ms}`, '+inf')),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #drain(backlog: number, nowMs: number): Promise<readonly [number, number] | null> {
    if (backlog === 0) return null;
    if (this.#throughput === undefined || nowMs - this.#throughput.atMs > throughputFreshMs) {
      const value = await readThroughput({ redis: this.#redis, queue: this.#queue });
      this.#throughput = { atMs: nowMs, value };
    }
    const { value } = this.#throughput;
    return value === undefined ? null : [backlog / value.fast, (backlog + 1) / value.slow];
  }
}
