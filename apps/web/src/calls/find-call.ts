/** Reads a call for a response. Distinguishes calls that are no longer kept from unknown ids. */
import { timeOfCallId, upstreamOfCallId, wasGivenOut } from '@recloser/calls/call/id';
import { failedTrimmedKey } from '@recloser/calls/call/keys';
import { isFinished } from '@recloser/calls/read/status';
import { type CallView, callView, readCall } from '@recloser/calls/read/view';
import { problem } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';

export type FoundCall =
  | { readonly kind: 'found'; readonly view: CallView; readonly finished: boolean }
  /** It was stored and is no longer kept. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'unknown' };

/** The upstream that this call id belongs to. Undefined if it is not a valid call id. */
export function upstreamOf(deps: Pick<WebDeps, 'upstreams'>, id: string): WebUpstream | undefined {
  const name = upstreamOfCallId(id, [...deps.upstreams.keys()]);
  return name === undefined ? undefined : deps.upstreams.get(name);
}

/** Reads a call together with the holds of its upstream. Rejects if Redis fails. */
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

/** Waits up to `wait.seconds` for the call to finish, then reads it. */
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

export function missingCall(kind: 'gone' | 'unknown'): ApiResponse {
  return kind === 'gone'
    ? problem('call_gone', {
        detail: 'The call has finished and is no longer kept.',
      })
    : problem('call_not_found', { detail: 'No call with this id was ever stored.' });
}

/**
 * True if the missing call was stored and has been trimmed. The id contains a checksum, which shows that Recloser
 * issued it, and its time, which is compared with what retention has removed. An id that was issued with
 * `storage_unknown` but never stored counts as unknown until the retention time of succeeded calls has passed.
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
