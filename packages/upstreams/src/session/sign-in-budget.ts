/**
 * Counts, for the whole fleet, how often credentials were sent to an upstream. Always true: no more than `signIns` in
 * any `windowMs`, whoever asks and whatever came of them.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from '@recloser/runtime/redis/connection';
import { runScript, scripts } from './scripts.ts';
import type { SignInPace } from './sign-in-pace.ts';

/** `ticket`: gives the place back with `giveBack` if nothing was sent. */
export type Budgeted =
  | { readonly kind: 'go'; readonly ticket: string }
  | { readonly kind: 'wait'; readonly forMs: number };

export class SignInBudget {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #pace: Pick<SignInPace, 'signIns' | 'windowMs'>;

  constructor({
    redis,
    key,
    pace,
  }: { redis: Redis; key: string; pace: Pick<SignInPace, 'signIns' | 'windowMs'> }) {
    this.#redis = redis;
    this.#key = key;
    this.#pace = pace;
  }

  /** Takes a place for one sign-in, or says how long there is none. */
  async take(): Promise<Budgeted> {
    const ticket = randomUUID();
    const { signIns, windowMs } = this.#pace;
    const forMs = Number(
      await runScript(this.#redis, scripts.takeSignIn, [this.#key], [ticket, signIns, windowMs]),
    );
    return forMs === 0 ? { kind: 'go', ticket } : { kind: 'wait', forMs };
  }

  /** Nothing was sent: the place is free again. */
  async giveBack(ticket: string): Promise<void> {
    await this.#redis.zrem(this.#key, ticket);
  }
}
