/** Warns, once per change, if this worker's upstream addresses differ from those of most workers. */
import { readAdverts } from '@recloser/breaker/adverts';
import {
  type AddressDifference,
  type Advert,
  addressDifferences,
  parseAdvert,
} from '@recloser/calls/call/advert';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import { jittered } from '../queue/timings.ts';

type AddressWatchOptions = {
  readonly redis: Redis;
  readonly root: string;
  readonly advert: Advert;
  readonly log: Logger;
  readonly everyMs: number;
};

export class AddressWatch {
  readonly #options: AddressWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #reported = '[]';
  #stopped = false;

  constructor(options: AddressWatchOptions) {
    this.#options = options;
  }

  /** Checks now and then at intervals, because workers come and go. */
  start(): void {
    this.#looking = this.#look().finally(() => {
      if (!this.#stopped) this.#timer = setTimeout(() => this.start(), jittered(this.#options.everyMs));
    });
  }

  /** Waits for a running check. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { redis, root, advert, log } = this.#options;
    try {
      const live = await readAdverts({ redis, root });
      const fleet = live.map((worker) => ({ ...worker, advert: parseAdvert(worker.advert) }));
      this.#report(addressDifferences({ advert }, fleet));
    } catch (err) {
      log.debug({ err }, 'the addresses of the other workers could not be read');
    }
  }

  #report(differs: readonly AddressDifference[]): void {
    const text = JSON.stringify(differs);
    if (text === this.#reported) return;
    this.#reported = text;
    const { log } = this.#options;
    if (differs.length === 0) log.info('sends calls to the same addresses as most workers');
    else log.warn({ differs }, 'sends calls to other addresses than most workers; check its BASE_URL');
  }
}
