/**
 * How fast calls come in and go out, over the last minute, and how long what is held would take. Nothing is
 * written for it: what went out is read from the times BullMQ keeps, what came in follows from the change of
 * the backlog. Always true: what cannot be known yet is null, never a guess of zero.
 */
import type { QueueDepth } from '@recloser/calls/queue/depth';
import { readThroughput, type Throughput } from '@recloser/calls/queue/throughput';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

/** Rates per minute; `drainSeconds` from best to worst case, null when nothing is held or nothing is known. */
export type Rates = {
  readonly inPerMinute: number | null;
  readonly outPerMinute: number;
  readonly drainSeconds: readonly [number, number] | null;
};

type Sample = { readonly atMs: number; readonly unfinished: number };

const windowMs = 60_000;
const shortestMs = 5_000;
const throughputFreshMs = 5_000;

/** One upstream's gauge; it learns with every reading. */
export class RateGauge {
  readonly #redis: Redis;
  readonly #queue: Queue;
  #samples: readonly Sample[] = [];
  #throughput: { readonly atMs: number; readonly value: Throughput | undefined } | undefined;

  constructor({ redis, queue }: { redis: Redis; queue: Queue }) {
    this.#redis = redis;
    this.#queue = queue;
  }

  /** @param backlog calls that would have to be made before all is caught up; `nowMs` is Redis' clock */
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
