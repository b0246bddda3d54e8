/**
 * What must happen to calls without a call being made: those past their `expiresAt` are settled, in bulk and also
 * while the queue is paused; results that are asked for when stale are kept beyond their jobs.
 *
 * Always true: with nothing to do it costs one short command per second and upstream; a failure is logged and
 * tried again with the next round; a result is kept only where somebody asks for stale ones.
 */

import { keepLastGood, wantedLastGood } from '@recloser/calls/write/last-good';
import { expireWaiting } from '@recloser/calls/write/settle-waiting';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import type { WorkerMetrics } from '../call/worker-metrics.ts';
import { jittered } from '../queue/timings.ts';

/** One upstream's calls. */
export type KeptUpstream = {
  readonly root: string;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly metrics: Pick<WorkerMetrics, 'finished'>;
};

/** What is needed of a job that ended. */
export type EndedCall = {
  readonly id?: string;
  readonly data: unknown;
  readonly returnvalue?: unknown;
  readonly finishedOn?: number;
};

export type UpkeepOptions = {
  readonly redis: Redis;
  /** How long a result is kept for those who ask for a stale one. */
  readonly staleTtlSeconds: number;
  readonly intervalMs?: number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
};

const everyMs = 1_000;
const wantedEveryMs = 10_000;
const expireAtOnce = 200;

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #upstreams: KeptUpstream[] = [];
  readonly #wanted = new Map<string, ReadonlySet<string>>();
  #wantedReadAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Takes an upstream into care; before `start`. */
  watch(upstream: KeptUpstream): void {
    this.#upstreams.push(upstream);
  }

  start(): void {
    this.#schedule();
  }

  /** Waits for a round under way. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** One round over all upstreams. Never rejects. */
  async tidy(): Promise<void> {
    for (const upstream of this.#upstreams) {
      try {
        await this.#expire(upstream);
      } catch (err) {
        this.#options.log.warn({ err, root: upstream.root }, 'calls past their time could not be settled');
      }
    }
    if (performance.now() - this.#wantedReadAt >= wantedEveryMs) await this.#readWanted();
  }

  /** Told of each call that ended in this process. Keeps its result if that is asked for. Never throws. */
  ended(root: string, job: EndedCall | undefined): void {
    const wanted = this.#wanted.get(root);
    if (!wanted?.size || !job?.id || job.finishedOn === undefined || !job.returnvalue) return;
    const { operation, resultKey } = job.data as { operation?: unknown; resultKey?: unknown };
    if (typeof resultKey !== 'string' || !wanted.has(String(operation))) return;
    const { redis, staleTtlSeconds, log } = this.#options;
    const { result } = job.returnvalue as { result?: unknown };
    const good = { id: job.id, finishedMs: job.finishedOn, result };
    keepLastGood({ redis, root }, resultKey, good, staleTtlSeconds).catch((err: unknown) => {
      log.warn({ err, callId: job.id }, 'a result could not be kept for stale answers');
    });
  }

  async #expire({ root, queue, metrics }: KeptUpstream): Promise<void> {
    const { redis, log } = this.#options;
    for (let more = true; more && !this.#stopped; ) {
      const round = await expireWaiting({ redis, queue, root }, expireAtOnce);
      more = round.more;
      for (const { operation } of round.expired) metrics.finished(operation, 'expired');
      if (round.expired.length > 0) {
        log.info({ root, expired: round.expired.length }, 'calls expired while they waited');
      }
    }
  }

  async #readWanted(): Promise<void> {
    const { redis, log } = this.#options;
    try {
      for (const { root } of this.#upstreams) this.#wanted.set(root, await wantedLastGood({ redis, root }));
      this.#wantedReadAt = performance.now();
    } catch (err) {
      log.warn({ err }, 'which results are asked for could not be read');
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
