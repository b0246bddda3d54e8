/**
 * Calls that this worker met and cannot make: an unknown operation, a newer envelope, another session key. It leaves
 * them to others and is not ready while it meets them; a need that nobody meets is told to people, once.
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
import type { Logger } from '@recloser/runtime/observe/logger';
import type { HealthCheck } from '@recloser/runtime/process/health';
import type { Redis } from '@recloser/runtime/redis/connection';

type Met = { readonly need: Need; atMs: number; askedAtMs: number };

type LeftCallsOptions = {
  readonly redis: Redis;
  readonly root: string;
  readonly advert: Pick<Advert, 'keys'>;
  readonly log: Logger;
  /** How long this worker is not ready after it met such a call last. */
  readonly recentMs: number;
};

/** Calls with the same need come every few seconds; whether somebody meets it is asked this often. */
const askEveryMs = needStandsMs / 6;
/** Names of operations come out of Redis: no more of them are remembered at once. */
const mostNeeds = 20;

export class LeftCalls {
  readonly #options: LeftCallsOptions;
  readonly #met = new Map<string, Met>();

  constructor(options: LeftCallsOptions) {
    this.#options = options;
  }

  /** To be told of each call that is left to others. */
  note(need: Need, callId: string): void {
    const nowMs = performance.now();
    this.#forget(nowMs);
    const met = this.#met.get(needText(need)) ?? this.#begin(need, callId);
    if (!met) return;
    met.atMs = nowMs;
    if (nowMs - met.askedAtMs < askEveryMs) return;
    met.askedAtMs = nowMs;
    this.#ask(need).catch((err: unknown) => {
      this.#options.log.warn({ err }, 'whether another worker can make a call is not known');
    });
  }

  /** Part of readiness; nothing while no such call was met. */
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
      `left to other workers: this one cannot make ${needInWords(need)}`,
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
      log.error({ need: needText(need) }, `no live worker can make ${needInWords(need)}: they wait`);
    }
  }
}
