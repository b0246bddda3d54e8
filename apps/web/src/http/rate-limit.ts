/** Limits the requests per minute and API key across all web processes. If Redis fails, requests are not limited. */
import type { Redis } from '@recloser/runtime/redis/connection';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';

/** The state of a key's limit. `headers` follow the IETF draft "RateLimit header fields for HTTP". */
export type RateVerdict = {
  readonly allowed: boolean;
  readonly resetSeconds: number;
  readonly headers: Readonly<Record<string, string>>;
};

export type RateLimit = {
  /** Undefined if there is no limit or Redis fails. Never rejects. */
  spend(client: string | undefined, requests: number): Promise<RateVerdict | undefined>;
};

const windowSeconds = 60;

/** `perMinute` 0: no limit. */
export function createRateLimit(options: {
  readonly redis: Redis;
  readonly prefix: string;
  readonly perMinute: number;
}): RateLimit {
  const { redis, prefix, perMinute } = options;
  if (perMinute === 0) return { spend: async () => undefined };
  const limiter = new RateLimiterRedis({
    storeClient: redis,
    keyPrefix: `${prefix}:rate-limit`,
    points: perMinute,
    duration: windowSeconds,
    rejectIfRedisNotReady: true,
  });
  return {
    async spend(client, requests) {
      try {
        // A batch larger than the limit would never be accepted. It uses the whole minute instead.
        return verdict(
          true,
          await limiter.consume(client ?? 'open', Math.min(requests, perMinute)),
          perMinute,
        );
      } catch (reason) {
        return reason instanceof RateLimiterRes ? verdict(false, reason, perMinute) : undefined;
      }
    },
  };
}

function verdict(
  allowed: boolean,
  { remainingPoints, msBeforeNext }: RateLimiterRes,
  perMinute: number,
): RateVerdict {
  const resetSeconds = Math.max(1, Math.ceil(msBeforeNext / 1000));
  const remaining = Math.max(0, remainingPoints);
  return {
    allowed,
    resetSeconds,
    headers: {
      'RateLimit-Policy': `"requests";q=${perMinute};w=${windowSeconds}`,
      RateLimit: `"requests";r=${remaining};t=${resetSeconds}`,
    },
  };
}
