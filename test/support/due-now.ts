/** Makes waits of the product due now, by changing the times in Redis, so that no test waits. */
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';

/** The keys of one upstream. */
export class DueNow {
  readonly #redis: Redis;
  readonly #queue: string;
  readonly #root: string;

  constructor(redis: Redis, queue = 'crossmark') {
    this.#redis = redis;
    this.#queue = queue;
    this.#root = `recloser:{${queue}}`;
  }

  /** The next probe of an open breaker. */
  async trial(): Promise<void> {
    await this.#redis.hset(`${this.#root}:breaker`, 'retryAt', Date.now());
    await this.#tellWorkers();
  }

  /** The end of a hold, and the calls that were deferred until then. */
  async endOfHold(kind: string): Promise<void> {
    const hold = JSON.parse((await this.#redis.hget(`${this.#root}:holds`, kind)) ?? '');
    await this.#redis.hset(`${this.#root}:holds`, kind, JSON.stringify({ ...hold, until: Date.now() }));
    const queue = new Queue(this.#queue, {
      connection: this.#redis,
      prefix: this.#root,
      skipVersionCheck: true,
    });
    await queue.promoteJobs();
    await queue.close();
    await this.#tellWorkers();
  }

  /** The next manual probe, which is limited to one in ten seconds. */
  async tryByHand(): Promise<void> {
    await this.#redis.del(`${this.#root}:probed-by-hand`);
  }

  async #tellWorkers(): Promise<void> {
    await this.#redis.publish(`${this.#root}:changed`, '');
  }
}
