/**
 * What lies between the steps of an interactive sign-in, kept for the whole fleet: the sealed state of the step
 * before, and who may have a code sent to the person's phone.
 *
 * Always true: at most one ticket holds the claim to a code; only the sealed form of a step's data reaches Redis.
 */

import type { Redis } from '@recloser/runtime/redis/connection';
import { runScript, scripts } from './scripts.ts';
import { openJson, type SessionSealer, sealJson } from './sealed-json.ts';

export class PendingSignIn {
  readonly #redis: Redis;
  readonly #sealer: SessionSealer;
  readonly #key: string;
  readonly #claimKey: string;

  /** `key`: where the session is kept; ours begin with it. */
  constructor({ redis, sealer, key }: { redis: Redis; sealer: SessionSealer; key: string }) {
    this.#redis = redis;
    this.#sealer = sealer;
    this.#key = `${key}:pending`;
    this.#claimKey = `${key}:code-claim`;
  }

  /** Keeps the state after a step, for `ttlMs`. */
  async save(data: unknown, ttlMs: number): Promise<void> {
    await this.#redis.set(this.#key, sealJson(this.#sealer, data), 'PX', ttlMs);
  }

  /** What `save` kept; null when it is over, or was sealed with another key. */
  async load(): Promise<unknown> {
    const sealed = await this.#redis.get(this.#key);
    return sealed === null ? null : openJson(this.#sealer, sealed);
  }

  /** Ends an interactive sign-in without a session. */
  async clear(): Promise<void> {
    await this.#redis.del(this.#key);
  }

  /**
   * Claims, for `ttlMs` from now, that nobody else has a code sent. 0: claimed, or claimed anew by the same
   * ticket. Else the ms that another's claim still lasts.
   */
  async claimCode(ticket: string, ttlMs: number): Promise<number> {
    return Number(await runScript(this.#redis, scripts.claimCode, [this.#claimKey], [ticket, ttlMs]));
  }

  /** Gives the claim back early; another's is left alone. */
  async releaseCode(ticket: string): Promise<void> {
    await runScript(this.#redis, scripts.releaseCode, [this.#claimKey], [ticket]);
  }
}
