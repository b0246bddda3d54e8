/**
 * Upkeep that makes no calls. It settles calls past their `expiresAt` in bulk, even while the queue is paused. It keeps
 * results for `ifOpen: "stale"` beyond their jobs, for operations whose stale results were requested. An idle round costs
 * one short Redis command per second and upstream. A failure is logged and retried in the next round.
 */
import { keepLastGood, wantedLastGood } from '@recloser/calls/write/last-good';
import { expireWaiting } from '@recloser/calls/write/settle-waiting';
import type { Log } from '@recloser/runtime/observe/log';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import type { WorkerMetrics } from '../call/worker-metrics.ts';
import { jittered } from '../queue/timings.ts';

export type WatchedUpstream = {
  readonly root: string;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly metrics: Pick<WorkerMetrics, 'finished'>;
};

/** The part of a finished job that upkeep needs. */
export type EndedCall = {
  readonly id?: string;
  readonly data: unknown;
  readonly returnvalue?: unknown;
  readonly finishedOn?: number;
};

export type UpkeepOptions = {
  readonly redis: Redis;
  /** How long a result is kept for `ifOpen: "stale"`. */
  readonly staleTtlSeconds: number;
  readonly intervalMs?: number;
  readonly log: Log;
};

const everyMs = 1_000;
const wantedEveryMs = 10_000;
const expireAtOnce = 200;

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #upstreams: WatchedUpstream[] = [];
  readonly #wanted = new Map<string, ReadonlySet<string>>();
  #wantedReadAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Adds an upstream. Call before `start`. */
  watch(upstream: WatchedUpstream): void {
    this.#upstreams.push(upstream);
  }

  start(): void {
    this.#schedule();
  }

  /** Waits for a running round. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** Runs one round over all upstreams. Never rejects. */
  async tidy(): Promise<void> {
    for (const upstream of this.#upstreams) {
      try {
        await this.#expire(upstream);
      } catch (err) {
        this.#options.log.warn({ err, root: upstream.root }, 'expired calls could not be settled');
      }
    }
    if (performance.now() - this.#wantedReadAt >= wantedEveryMs) await this.#readWanted();
  }

  /** Keeps the result of a call that finished in this process, if stale results were requested. Never throws. */
  ended(root: string, job: EndedCall | undefined): void {
    const wanted = this.#wanted.get(root);
    if (!wanted?.size || !job?.id || job.finishedOn === undefined || !job.returnvalue) return;
    const { operation, resultKey } = job.data as { operation?: unknown; resultKey?: unknown };
    if (typeof resultKey !== 'string' || !wanted.has(String(operation))) return;
    const { redis, staleTtlSeconds, log } = this.#options;
    const { result } = job.returnvalue as { result?: unknown };
    const good = { id: job.id, finishedMs: job.finishedOn, result };
    keepLastGood({ redis, root }, resultKey, good, staleTtlSeconds).catch((err: unknown) => {
      log.warn({ err, callId: job.id }, 'a result could not be kept for stale requests');
    });
  }

  async #expire({ root, queue, metrics }: WatchedUpstream): Promise<void> {
    const { redis, log } = this.#options;
    for (let more = true; more && !this.#stopped; ) {
      const round = await expireWaiting({ redis, queue, root }, expireAtOnce);
      more = round.more;
      for (const { operation } of round.expired) metrics.finished(operation, 'expired');
      if (round.expired.length > 0) {
        log.info({ root, expired: round.expired.length }, 'waiting calls expired');
      }
    }
  }

  async #readWanted(): Promise<void> {
    const { redis, log } = this.#options;
    try {
      for (const { root } of this.#upstreams) this.#wanted.set(root, await wantedLastGood({ redis, root }));
      this.#wantedReadAt = performance.now();
    } catch (err) {
      log.warn({ err }, 'the operations with stale requests could not be read');
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(
      () => {
        this.#round = this.tidy().finally(() => {
          if (!this.#stopped) this.#schedule();
        });
      },
      jittered(this.#options.intervalMs ?? everyMs),
    );
    this.#timer.unref();
  }
}
