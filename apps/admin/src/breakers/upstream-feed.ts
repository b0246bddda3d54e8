/**
 * The live snapshots of all upstreams: one read loop per process, shared by all clients. Without listeners nothing is
 * read. A listener gets an event at least every 2 s.
 */

import type { Log } from '@recloser/runtime/observe/log';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Snapshot } from './upstream-view.ts';

/** `unavailable`: the upstreams cannot be read now. */
type FeedEvent =
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot; readonly json: string }
  | { readonly kind: 'unavailable' };

type FeedOptions = {
  readonly read: () => Promise<Snapshot>;
  /** A connection that is used only for pub/sub. */
  readonly subscriber: Redis;
  /** Channels that announce changes: `${root}:changed` of each upstream. */
  readonly channels: readonly string[];
  readonly log: Log<'warn'>;
  readonly everyMs?: number;
};

// Changes come in bursts, such as the failures of an outage. One snapshot covers a burst.
const settleMs = 80;

/** Reads snapshots and passes them to its listeners. */
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

  /** Subscribes to changes. Does not wait: ioredis subscribes when it has connected. */
  start(): void {
    const { subscriber, channels, log } = this.#options;
    subscriber.on('message', this.#onMessage);
    subscriber
      .subscribe(...channels)
      .catch((err: unknown) => log.warn({ err }, 'cannot subscribe to changes; polling only'));
  }

  /** Stops permanently. Safe to call twice. The caller closes the connection. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#options.subscriber.off('message', this.#onMessage);
  }

  /** Calls `listener` with every event, the first at once. Returns a function that removes it. */
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
      // Serialized once for all listeners.
      return { kind: 'snapshot', snapshot, json: JSON.stringify(snapshot) };
    } catch (err) {
      this.#options.log.warn({ err }, 'cannot read the upstreams');
      return { kind: 'unavailable' };
    }
  }
}
