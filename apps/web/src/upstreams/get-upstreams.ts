/** `GET /v1/upstreams` and `GET /v1/upstreams/{name}`: breaker, holds, queue and workers. Times are by Redis' clock. */

import { type QueueDepth, readQueueDepth } from '@recloser/calls/queue/depth';
import { type HoldView, holdView } from '@recloser/calls/read/view';
import { isoTime } from '@recloser/runtime/values/iso-time';
import { problem } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';

/** One upstream as the API returns it. `since` is null if the breaker has never changed state. */
export type UpstreamView = {
  readonly name: string;
  readonly breaker: {
    readonly state: 'closed' | 'open' | 'half_open';
    readonly since: string | null;
    readonly generation: number;
    readonly retryAt: string | null;
    readonly consecutiveFailures: number;
    readonly reason: string | null;
    readonly permits: number | null;
  };
  readonly holds: readonly HoldView[];
  readonly queue: QueueDepth;
  /** Number of live workers. */
  readonly workers: number;
  /** Number of live workers that take no calls because only their own calls were failing. */
  readonly setAside: number;
};

/** Returns all upstreams in the order of their definitions. */
export async function listUpstreams(_request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const upstreams = await Promise.all(
    [...deps.upstreams.values()].map((upstream) => readUpstream(deps, upstream)),
  );
  return { status: 200, body: { upstreams } };
}

/** Returns one upstream, or 404. */
export async function getUpstream(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const upstream = deps.upstreams.get(request.params.name ?? '');
  if (!upstream)
    return problem('unknown_upstream', {
      detail: 'Unknown upstream. GET /v1/upstreams lists the valid names.',
    });
  return { status: 200, body: await readUpstream(deps, upstream) };
}

/** Reads one upstream. Rejects if Redis fails. */
export async function readUpstream(deps: WebDeps, upstream: WebUpstream): Promise<UpstreamView> {
  const { redis } = deps;
  const { queue, root } = upstream;
  const [state, depth] = await Promise.all([
    deps.readUpstreamState(upstream),
    readQueueDepth({ redis, queue, root }),
  ]);
  const { breaker, holds, workers } = state;
  return {
    name: upstream.name,
    breaker: {
      state: breaker.state,
      since: isoTime(breaker.since),
      generation: breaker.generation,
      retryAt: isoTime(breaker.retryAt),
      consecutiveFailures: breaker.consecutiveFailures,
      reason: breaker.reason,
      permits: breaker.permits,
    },
    holds: holds.map(holdView),
    queue: depth,
    workers: workers.length,
    setAside: workers.filter((worker) => worker.setAside).length,
  };
}
