/** What the worker's health endpoints say about Redis and breakers. */
import type { HealthCheck } from '@recloser/runtime/process/health';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { RedisSafety } from '@recloser/runtime/redis/safety';

/** `fail` when Redis does not answer now; `warn` when it answers and is not set up to keep calls. */
export async function redisCheck(redis: Pick<Redis, 'ping'>, safety: RedisSafety): Promise<HealthCheck> {
  const name = 'redis:connection';
  try {
    await redis.ping();
  } catch {
    return { name, status: 'fail', output: 'Redis does not answer.' };
  }
  const said = [...(safety.reachable ? safety.problems : []), ...safety.warnings];
  return said.length > 0 ? { name, status: 'warn', output: said.join('; ') } : { name, status: 'pass' };
}

type BreakerView = { readonly breaker: { readonly state: string; readonly reason: string | null } };

/** `warn` while a breaker is not closed: this process works as it should all the same. */
export function breakerCheck(upstream: string, view: BreakerView | undefined): HealthCheck {
  const state = view?.breaker.state ?? 'unknown';
  const name = `${upstream}:breaker`;
  if (state === 'closed') return { name, status: 'pass', observedValue: state };
  const output = view?.breaker.reason;
  return { name, status: 'warn', observedValue: state, ...(output && { output }) };
}
