/**
 * The fleet's state between the steps of an interactive sign-in: the encrypted data of the previous step, and which
 * ticket may request a code. At most one ticket holds that claim.
 */

import type { Redis } from '@recloser/runtime/redis/connection';
import { runScript, scripts } from './scripts.ts';
import { openJson, type SessionSealer, sealJson } from './sealed-json.ts';

export class PendingSignIn {
  readonly #redis: Redis;
  readonly #sealer: SessionSealer;
  readonly #key: string;
  readonly #claimKey: string;

  /** `key`: the session's key. The keys here begin with it. */
  constructor({ redis, sealer, key }: { redis: Redis; sealer: SessionSealer; key: string }) {
    this.#redis = redis;
    this.#sealer = sealer;
    this.#key = `${key}:pending`;
    this.#claimKey = `${key}:code-claim`;
  }

  /** Saves the data of a step for `ttlMs`. */
  async save(data: unknown, ttlMs: number): Promise<void> {
    await this.#redis.set(this.#key, sealJson(this.#sealer, data), 'PX', ttlMs);
  }

  /** The saved data; null if it has expired or was sealed with another key. */
  async load(): Promise<unknown> {
    const sealed = await this.#redis.get(this.#key);
    return sealed === null ? null : openJson(this.#sealer, sealed);
  }

  /** Ends an interactive sign-in that made no session. */
  async clear(): Promise<void> {
    await this.#redis.del(this.#key);
  }

  /**
   * Claims for `ttlMs` that only this ticket may request a code. Returns 0 if the ticket holds the claim, otherwise the
   * remaining ms of another ticket's claim.
   */
  async claimCode(ticket: string, ttlMs: number): Promise<number> {
    return Number(await runScript(this.#redis, scripts.claimCode, [this.#claimKey], [ticket, ttlMs]));
  }

  /** Releases the claim early, if this ticket holds it. */
  async releaseCode(ticket: string): Promise<void> {
    await runScript(this.#redis, scripts.releaseCode, [this.#claimKey], [ticket]);
  }
}
