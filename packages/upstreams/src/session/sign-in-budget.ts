/**
 * Counts, for the whole fleet, how often credentials were sent to an upstream. Always true: no more than `signIns` in
 * any `windowMs`, whoever asks and whatever came of them.
 */
import { randomUUID } from 'node:crypto';
import { runScript, type SessionRedis, script } from './scripts.ts';
import type { SignInPace } from './sign-in-pace.ts';

/** `ticket`: gives the place back with `giveBack` if nothing was sent. */
export type Budgeted =
  | { readonly kind: 'go'; readonly ticket: string }
  | { readonly kind: 'wait'; readonly forMs: number };

/** Keys: sign-ins. Args: ticket, how many, within ms. Returns 0, or the ms until the next place. */
const takeScript = script(
  1,
  `
local at, window = now(), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at - window)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(1, math.ceil(tonumber(oldest[2]) + window - at))
end
redis.call('ZADD', KEYS[1], at, ARGV[1])
redis.call('PEXPIRE', KEYS[1], window)
return 0
`,
);

export class SignInBudget {
  readonly #redis: SessionRedis;
  readonly #key: string;
  readonly #pace: Pick<SignInPace, 'signIns' | 'windowMs'>;

  constructor({
    redis,
    key,
    pace,
  }: { redis: SessionRedis; key: string; pace: Pick<SignInPace, 'signIns' | 'windowMs'> }) {
    this.#redis = redis;
    this.#key = key;
    this.#pace = pace;
  }

  /** Takes a place for one sign-in, or says how long there is none. */
  async take(): Promise<Budgeted> {
    const ticket = randomUUID();
    const { signIns, windowMs } = this.#pace;
    const forMs = Number(await runScript(this.#redis, takeScript, [this.#key], [ticket, signIns, windowMs]));
    return forMs === 0 ? { kind: 'go', ticket } : { kind: 'wait', forMs };
  }

  /** Nothing was sent: the place is free again. */
  async giveBack(ticket: string): Promise<void> {
    await this.#redis.zrem(this.#key, ticket);
  }
}
