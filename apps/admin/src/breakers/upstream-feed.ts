/**
 * One live picture of all upstreams for every open page: one loop per process, not one per client.
 * Always true: nothing is read while nobody looks, and a listener hears something at least every 2 s: the
 * picture, or that it cannot be had.
 */

import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Snapshot } from './upstream-view.ts';

/** What a listener hears: the picture, or that it cannot be had right now. */
export type FeedEvent =
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot; readonly json: string }
  | { readonly kind: 'unavailable' };

/** What the feed reads and what wakes it. */
export type FeedOptions = {
  readonly read: () => Promise<Snapshot>;
  /** A connection for pub/sub alone. */
  readonly subscriber: Redis;
  /** Told when something changed; see `${root}:changed`. */
  readonly channels: readonly string[];
  readonly log: Pick<Logger, 'warn'>;
  readonly everyMs?: number;
};

// Many changes come in bursts (every failure of an outage); one picture for all of them is enough.
const settleMs = 80;

/** Reads, and tells its listeners. */
export class UpstreamFeed {
  readonly #options: FeedOptions;
  readonly #listeners = new Set<(event: FeedEvent) => void>();
  readonly #onMessage = () => this.#schedule(settleMs);
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #reading = false;
  #stopped = false;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Begins to hear of changes. Does not wait: ioredis subscribes as soon as Redis is there. */
  start(): void {
    const { subscriber, channels, log } = this.#options;
    subscriber.on('message', this.#onMessage);
    subscriber
      .subscribe(...channels)
      .catch((err: unknown) => log.warn({ err }, 'no news of changes; polling only'));
  }

  /** Stops for good; safe twice. The connection is the caller's. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#options.subscriber.off('message', this.#onMessage);
  }

  /** Tells `listener` of every picture from now on, the first at once; returns how to stop that. */
  listen(listener: (event: FeedEvent) => void): () => void {
    this.#listeners.add(listener);
    this.#schedule(0);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #schedule(inMs: number): void {
    if (this.#stopped || this.#listeners.size === 0) return;
    const dueMs = performance.now() + inMs;
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => void this.#tick(), inMs);
  }

  async #tick(): Promise<void> {
    this.#dueMs = Number.POSITIVE_INFINITY;
    if (this.#reading) return this.#schedule(settleMs);
    this.#reading = true;
    const event = await this.#read();
    this.#reading = false;
    for (const listener of this.#listeners) listener(event);
    this.#schedule(this.#options.everyMs ?? 1_500);
  }

  async #read(): Promise<FeedEvent> {
    try {
      const snapshot = await this.#options.read();
      // Written once, however many listen.
      return { kind: 'snapshot', snapshot, json: JSON.stringify(snapshot) };
    } catch (err) {
      this.#options.log.warn({ err }, 'the upstreams could not be read');
      return { kind: 'unavailable' };
    }
  }
}
