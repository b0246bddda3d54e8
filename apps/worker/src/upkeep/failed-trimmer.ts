/**
 * Trims failed calls to their retention and removes the claims of calls that are no longer kept. One worker of the fleet
 * does this per interval and upstream. A failure is logged and retried in the next interval.
 */
import { sweepClaims } from '@recloser/calls/write/claims';
import { trimFailed } from '@recloser/calls/write/retention';
import type { Log } from '@recloser/runtime/observe/log';
import type { Redis } from '@recloser/runtime/redis/connection';

export type FailedTrimmerOptions = {
  readonly redis: Redis;
  readonly upstreams: readonly { readonly root: string; readonly queue: FailedTrimmerQueue }[];
  readonly retention: { readonly maxAgeMs: number; readonly maxCount: number };
  readonly intervalMs: number;
  readonly log: Log;
};

type FailedTrimmerQueue = Parameters<typeof trimFailed>[0]['queue'];

export class FailedTrimmer {
  readonly #options: FailedTrimmerOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: FailedTrimmerOptions) {
    this.#options = options;
  }

  /** Starts after a random delay, so that a fleet that starts together does not trim at the same moment. */
  start(): void {
    this.#schedule(Math.random() * Math.min(30_000, this.#options.intervalMs));
  }

  /** Waits for a running round. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** Runs one round. Skips upstreams that another worker trimmed in this interval. Never rejects. */
  async trim(): Promise<void> {
    for (const { root, queue } of this.#options.upstreams) {
      if (this.#stopped) return;
      await this.#trimOne(root, queue);
    }
  }

  async #trimOne(root: string, queue: FailedTrimmerQueue): Promise<void> {
    const { redis, retention, intervalMs, log } = this.#options;
    try {
      // Not deleted after the round: the key also marks the interval as done.
      if ((await redis.set(`${root}:janitor`, '1', 'PX', Math.ceil(intervalMs * 0.9), 'NX')) === null) return;
      const { removed } = await trimFailed({ redis, queue, root, ...retention });
      if (removed > 0) log.info({ root, removed }, 'removed failed calls past their retention');
      await sweepClaims({ redis, root, queue });
    } catch (err) {
      log.warn({ err, root }, 'failed calls could not be trimmed; retrying in the next interval');
    }
  }

  #schedule(inMs: number): void {
    this.#timer = setTimeout(() => {
      this.#round = this.trim().finally(() => {
        if (!this.#stopped) this.#schedule(this.#options.intervalMs * (0.9 + Math.random() * 0.2));
      });
    }, inMs);
    this.#timer.unref();
  }
}
