/**
 * Calls that this worker fetched and cannot make: unknown operation, newer envelope, another session key. The worker is
 * not ready while it fetches such calls. If no live worker can make them, it logs one error per need.
 */
import { readAdverts } from '@recloser/breaker/adverts';
import { type Advert, parseAdvert } from '@recloser/calls/call/advert';
import {
  mayMeet,
  type Need,
  needInWords,
  needStandsMs,
  needText,
  noteUnmet,
} from '@recloser/calls/call/need';
import type { Log } from '@recloser/runtime/observe/log';
import type { HealthCheck } from '@recloser/runtime/process/health';
import type { Redis } from '@recloser/runtime/redis/connection';

type Met = { readonly need: Need; atMs: number; askedAtMs: number };

type LeftCallsOptions = {
  readonly redis: Redis;
  readonly root: string;
  readonly advert: Pick<Advert, 'keys'>;
  readonly log: Log<'warn' | 'error'>;
  /** How long this worker stays unready after it last fetched such a call. */
  readonly recentMs: number;
};

/** How often the fleet's adverts are checked for the same need. */
const askEveryMs = needStandsMs / 6;
/** Operation names are read from Redis, so the number of remembered needs is bounded. */
const mostNeeds = 20;

export class LeftCalls {
  readonly #options: LeftCallsOptions;
  readonly #met = new Map<string, Met>();

  constructor(options: LeftCallsOptions) {
    this.#options = options;
  }

  /** Records a call that this worker cannot make. */
  note(need: Need, callId: string): void {
    const nowMs = performance.now();
    this.#forget(nowMs);
    const met = this.#met.get(needText(need)) ?? this.#begin(need, callId);
    if (!met) return;
    met.atMs = nowMs;
    if (nowMs - met.askedAtMs < askEveryMs) return;
    met.askedAtMs = nowMs;
    this.#ask(need).catch((err: unknown) => {
      this.#options.log.warn({ err }, 'could not check whether another worker can make a call');
    });
  }

  /** Part of readiness. Empty unless such a call was fetched recently. */
  checks(name: string): readonly HealthCheck[] {
    this.#forget(performance.now());
    if (this.#met.size === 0) return [];
    const needs = [...this.#met.values()].map(({ need }) => needInWords(need));
    return [{ name, status: 'fail', output: `This worker cannot make ${needs.join('; ')}.` }];
  }

  #begin(need: Need, callId: string): Met | undefined {
    if (this.#met.size >= mostNeeds) return undefined;
    this.#options.log.warn(
      { callId, need: needText(need) },
      `this worker cannot make ${needInWords(need)}; it leaves them to other workers`,
    );
    const met = { need, atMs: 0, askedAtMs: Number.NEGATIVE_INFINITY };
    this.#met.set(needText(need), met);
    return met;
  }

  #forget(nowMs: number): void {
    for (const [text, { atMs }] of this.#met) {
      if (nowMs - atMs > this.#options.recentMs) this.#met.delete(text);
    }
  }

  async #ask(need: Need): Promise<void> {
    const { redis, root, advert, log } = this.#options;
    const workers = await readAdverts({ redis, root });
    if (workers.some((worker) => mayMeet(parseAdvert(worker.advert), need, advert.keys))) return;
    if (await noteUnmet({ redis, root }, need)) {
      log.error({ need: needText(need) }, `no live worker can make ${needInWords(need)}; these calls wait`);
    }
  }
}
