/** Limits how often the fleet sends credentials to an upstream: at most `signIns` times in any `windowMs`. */
import { randomUUID } from 'node:crypto';
import type { Redis } from '@recloser/runtime/redis/connection';
import { runScript, scripts } from './scripts.ts';
import type { SignInPace } from './sign-in-pace.ts';

/** `ticket`: for `giveBack`, if nothing was sent. */
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

  /** Takes one sign-in, or returns the time until one is free. */
  async take(): Promise<Budgeted> {
    const ticket = randomUUID();
    const { signIns, windowMs } = this.#pace;
    const forMs = Number(
      await runScript(this.#redis, scripts.takeSignIn, [this.#key], [ticket, signIns, windowMs]),
    );
    return forMs === 0 ? { kind: 'go', ticket } : { kind: 'wait', forMs };
  }

  /** Returns a sign-in for which nothing was sent. */
  async giveBack(ticket: string): Promise<void> {
    await this.#redis.zrem(this.#key, ticket);
  }
}
