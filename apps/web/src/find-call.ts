/** Reads a call and draws it, or says why it cannot be shown. */
import { timeOfCallId } from '@recloser/calls/call-id';
import { isFinished } from '@recloser/calls/call-status';
import { type CallView, callView, readCall } from '@recloser/calls/call-view';
import { succeededRetention } from '@recloser/calls/retention';
import { problem } from './problem.ts';
import type { ApiResponse } from './route.ts';
import type { WebDeps, WebUpstream } from './web-deps.ts';

export type FoundCall =
  | { readonly kind: 'found'; readonly view: CallView; readonly finished: boolean }
  /** It was kept once and is no more. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'unknown' };

/** Reads call and holds at one moment. Rejects when Redis cannot be read. */
export async function findCall(deps: WebDeps, upstream: WebUpstream, id: string): Promise<FoundCall> {
  const [state, call] = await Promise.all([
    deps.readUpstreamState(upstream),
    readCall({ redis: deps.redis, queue: upstream.queue, id }),
  ]);
  if (!call)
    return (await wasTrimmed(deps, upstream, id, state.nowMs)) ? { kind: 'gone' } : { kind: 'unknown' };
  const { holds, nowMs } = state;
  const view = callView({ upstream: upstream.name, call, holds, nowMs, sealer: deps.sealer });
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

/** An id tells its age. Older than any kept success, and absent: it was trimmed. */
async function wasTrimmed(deps: WebDeps, upstream: WebUpstream, id: string, nowMs: number): Promise<boolean> {
  const madeMs = timeOfCallId(id);
  if (madeMs < nowMs - succeededRetention.ageSeconds * 1000) return true;
  const completed = upstream.queue.toKey('completed');
  if ((await deps.redis.zcard(completed)) < succeededRetention.count) return false;
  const [oldest] = await deps.redis.zrange(completed, 0, '0');
  const keptSinceMs = oldest === undefined ? null : await deps.redis.zscore(completed, oldest);
  return keptSinceMs !== null && madeMs < Number(keptSinceMs);
}
