/** Says, once per change, that this worker sends calls elsewhere than most workers of its upstream. */
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
  #said = '';
  #stopped = false;

  constructor(options: AddressWatchOptions) {
    this.#options = options;
  }

  /** Looks now, then now and again: the fleet may change around this worker. */
  start(): void {
    this.#looking = this.#look().finally(() => {
      if (!this.#stopped) this.#timer = setTimeout(() => this.start(), jittered(this.#options.everyMs));
    });
  }

  /** Resolves when no look is under way. */
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
      this.#tell(addressDifferences({ advert }, fleet));
    } catch (err) {
      log.debug({ err }, 'the addresses of the other workers could not be read');
    }
  }

  #tell(differs: readonly AddressDifference[]): void {
    const text = JSON.stringify(differs);
    if (text === (this.#said || '[]')) return;
    this.#said = text;
    const { log } = this.#options;
    if (differs.length === 0) log.info('sends calls where most workers send them');
    else log.warn({ differs }, 'sends calls to other addresses than most workers: check its BASE_URL');
  }
}
