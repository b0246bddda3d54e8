/** Reads a call and draws it, or says why it cannot be shown. */
import { timeOfCallId, upstreamOfCallId, wasGivenOut } from '@recloser/calls/call/id';
import { failedTrimmedKey } from '@recloser/calls/call/keys';
import { isFinished } from '@recloser/calls/read/status';
import { type CallView, callView, readCall } from '@recloser/calls/read/view';
import { problem } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';

export type FoundCall =
  | { readonly kind: 'found'; readonly view: CallView; readonly finished: boolean }
  /** It was kept once and is no more. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'unknown' };

/** The upstream whose call has this id; undefined when no call can have it. */
export function upstreamOf(deps: Pick<WebDeps, 'upstreams'>, id: string): WebUpstream | undefined {
  const name = upstreamOfCallId(id, [...deps.upstreams.keys()]);
  return name === undefined ? undefined : deps.upstreams.get(name);
}

/** Reads call and holds at one moment. Rejects when Redis cannot be read. */
export async function findCall(deps: WebDeps, upstream: WebUpstream, id: string): Promise<FoundCall> {
  const [state, call, throughput] = await Promise.all([
    deps.readUpstreamState(upstream),
    readCall({ redis: deps.redis, queue: upstream.queue, id }),
    deps.throughput.read(upstream),
  ]);
  if (!call)
    return (await wasTrimmed(deps, upstream, id, state.nowMs)) ? { kind: 'gone' } : { kind: 'unknown' };
  const { holds, nowMs } = state;
  const view = callView({
    upstream: upstream.name,
    call,
    holds,
    nowMs,
    sealer: deps.sealer,
    ...(throughput && { throughput }),
  });
  return { kind: 'found', view, finished: isFinished(view.status) };
}

/** The same, but waits for the end of the call, at most `waitSeconds`. */
export async function awaitCall(
  deps: WebDeps,
  upstream: WebUpstream,
  id: string,
  wait: { readonly seconds: number; readonly signal: AbortSignal },
): Promise<FoundCall> {
  if (wait.seconds === 0) return findCall(deps, upstream, id);
  return deps.waiter.wait({
    source: upstream,
    id,
    timeoutMs: wait.seconds * 1000,
    signal: wait.signal,
    async look() {
      const seen = await findCall(deps, upstream, id);
      return { finished: seen.kind !== 'found' || seen.finished, seen };
    },
  });
}

/** The problem for a call that cannot be shown. */
export function missingCall(kind: 'gone' | 'unknown'): ApiResponse {
  return kind === 'gone'
    ? problem('call_gone', {
        detail: 'Finished calls are kept for a while only; this one is no longer there.',
      })
    : problem('call_not_found', { detail: 'No call has this id.' });
}

/**
 * Tells a call that was kept from one that never was. The id says that we gave it out, and when: older than any
 * success that is kept, or than what was trimmed to stay within a number, and absent, it was trimmed. An id that
 * was given out in a `storage_unknown` and never stored stays "unknown" for as long as successes are kept.
 */
async function wasTrimmed(deps: WebDeps, upstream: WebUpstream, id: string, nowMs: number): Promise<boolean> {
  if (!wasGivenOut(id)) return false;
  const { retention, redis } = deps;
  const madeMs = timeOfCallId(id);
  if (madeMs < nowMs - retention.ageSeconds * 1000) return true;
  const completed = upstream.queue.toKey('completed');
  const [kept, oldest, failedUntil] = await Promise.all([
    redis.zcard(completed),
    redis.zrange(completed, 0, '0', 'WITHSCORES'),
    redis.get(failedTrimmedKey(upstream.root)),
  ]);
  if (failedUntil !== null && madeMs <= Number(failedUntil)) return true;
  return kept >= retention.count && oldest[1] !== undefined && madeMs <= Number(oldest[1]);
}
