import type { HealthCheck } from '@recloser/runtime/process/health';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { RedisSafety } from '@recloser/runtime/redis/safety';

/** `fail` if Redis does not answer; `warn` if its configuration may lose calls. */
export async function redisCheck(redis: Pick<Redis, 'ping'>, safety: RedisSafety): Promise<HealthCheck> {
  const name = 'redis:connection';
  try {
    await redis.ping();
  } catch {
    return { name, status: 'fail', output: 'Redis does not answer.' };
  }
  const problems = [...(safety.reachable ? safety.problems : []), ...safety.warnings];
  return problems.length > 0
    ? { name, status: 'warn', output: problems.join('; ') }
    : { name, status: 'pass' };
}

type BreakerView = { readonly breaker: { readonly state: string; readonly reason: string | null } };

/** `warn`, never `fail`, while a breaker is not closed: this process still works. */
export function breakerCheck(upstream: string, view: BreakerView | undefined): HealthCheck {
  const state = view?.breaker.state ?? 'unknown';
  const name = `${upstream}:breaker`;
  if (state === 'closed') return { name, status: 'pass', observedValue: state };
  const output = view?.breaker.reason;
  return { name, status: 'warn', observedValue: state, ...(output && { output }) };
}
