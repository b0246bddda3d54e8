/**
 * Keeps the set of failed calls within its retention, and forgets the claims of calls that are gone, for the whole
 * fleet.
 *
 * Always true: one worker does it per interval and upstream; a failure is logged and tried again next time.
 */

import { sweepClaims } from '@recloser/calls/write/claims';
import { trimFailed } from '@recloser/calls/write/retention';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';

export type FailedTrimmerOptions = {
  readonly redis: Redis;
  /** Each upstream's queue and key root. */
  readonly upstreams: readonly { readonly root: string; readonly queue: FailedTrimmerQueue }[];
  readonly retention: { readonly maxAgeMs: number; readonly maxCount: number };
  readonly intervalMs: number;
  readonly log: Logger;
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

  /** Begins soon, at a random moment so that a fleet started together does not look all at once. */
  start(): void {
    this.#schedule(Math.random() * Math.min(30_000, this.#options.intervalMs));
  }

  /** Waits for a round under way. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** One round over all upstreams; those that another worker did lately are left out. Never rejects. */
  async clean(): Promise<void> {
    for (const { root, queue } of this.#options.upstreams) {
      if (this.#stopped) return;
      await this.#cleanOne(root, queue);
    }
  }

  async #cleanOne(root: string, queue: FailedTrimmerQueue): Promise<void> {
    const { redis, retention, intervalMs, log } = this.#options;
    try {
      // Not a lock that is given back: it also says that this interval's round is done.
      if ((await redis.set(`${root}:janitor`, '1', 'PX', Math.ceil(intervalMs * 0.9), 'NX')) === null) return;
      const { removed } = await trimFailed({ redis, queue, root, ...retention });
      if (removed > 0) log.info({ root, removed }, 'removed failed calls past their retention');
      await sweepClaims({ redis, root, queue });
    } catch (err) {
      log.warn({ err, root }, 'failed calls could not be trimmed; trying again next time');
    }
  }

  #schedule(inMs: number): void {
    this.#timer = setTimeout(() => {
      this.#round = this.clean().finally(() => {
        if (!this.#stopped) this.#schedule(this.#options.intervalMs * (0.9 + Math.random() * 0.2));
      });
    }, inMs);
    this.#timer.unref();
  }
}
