/** Health of the web app. A problem of an upstream is a `warn`. Only Redis can make a check `fail`. */
import {
  type HealthCheck,
  healthBody,
  healthContentType,
  healthHttpStatus,
} from '@recloser/runtime/process/health';
import type { RedisSafety } from '@recloser/runtime/redis/safety';
import type { ApiRequest, ApiResponse } from './http/route.ts';
import type { WebDeps, WebUpstream } from './http/web-deps.ts';
import { readUpstream, type UpstreamView } from './upstreams/get-upstreams.ts';

/** `GET /health/live`: the process responds. */
export async function live(): Promise<ApiResponse> {
  return answer([]);
}

/** `GET /health/ready`: Redis is reachable and safe. */
export async function ready(_request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  return answer(redisChecks(await deps.checkSafety()));
}

/** `GET /health`: one check per dependency and upstream. */
export async function health(_request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const upstreams = [...deps.upstreams.values()];
  const [safety, ...checks] = await Promise.all([
    deps.checkSafety(),
    ...upstreams.map((upstream) => upstreamCheck(deps, upstream)),
  ]);
  return answer([...redisChecks(safety), ...checks]);
}

function answer(checks: readonly HealthCheck[]): ApiResponse {
  const body = healthBody(checks);
  return { status: healthHttpStatus(body.status), headers: { 'Content-Type': healthContentType }, body };
}

function redisChecks(safety: RedisSafety): HealthCheck[] {
  const time = new Date().toISOString();
  if (!safety.reachable)
    return [{ name: 'redis:connection', status: 'fail', output: safety.problems.join('; '), time }];
  const notes = [...safety.problems, ...safety.warnings];
  const status = !safety.safe ? 'fail' : safety.warnings.length > 0 ? 'warn' : 'pass';
  return [
    { name: 'redis:connection', status: 'pass', time },
    { name: 'redis:safety', status, time, ...(notes.length > 0 && { output: notes.join('; ') }) },
    { name: 'redis:memory', status: 'pass', observedValue: safety.memoryUsed, observedUnit: 'ratio', time },
  ];
}

async function upstreamCheck(deps: WebDeps, upstream: WebUpstream): Promise<HealthCheck> {
  const name = `${upstream.name}:breaker`;
  const time = new Date().toISOString();
  try {
    const view = await readUpstream(deps, upstream);
    const output = trouble(view);
    const status = output === undefined ? 'pass' : 'warn';
    return { name, status, observedValue: view.breaker.state, time, ...(output !== undefined && { output }) };
  } catch {
    return { name, status: 'warn', output: 'the state cannot be read', time };
  }
}

function trouble({ breaker, holds, workers }: UpstreamView): string | undefined {
  const notes = holds.map((hold) => `${hold.kind} hold: ${hold.reason}`);
  if (breaker.state !== 'closed') notes.unshift(`the breaker is ${breaker.state}`);
  if (workers === 0) notes.push('no worker is alive');
  return notes.length === 0 ? undefined : notes.join('; ');
}
