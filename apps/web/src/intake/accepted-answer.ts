/**
 * The answer to a call that Redis has: 202, or 200 when the client waited and the call finished.
 * Reading the call back must not turn a stored call into an error, so this never rejects.
 */
import { type CallView, callView } from '@recloser/calls/read/view';
import type { EnqueueResult } from '@recloser/calls/write/enqueue';
import { withDeadline } from '@recloser/runtime/process/with-deadline';
import { awaitCall, type FoundCall, missingCall } from '../calls/find-call.ts';
import { storageUnknown } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { Look, WebDeps, WebUpstream } from '../http/web-deps.ts';

/** `look`: where the call stood when Redis had stored it. `beganMs`: when storing began, by `performance.now()`. */
type Stored = Extract<EnqueueResult, { kind: 'stored' }> & {
  readonly look?: Promise<Look>;
  readonly beganMs: number;
};

/** What to tell a client to wait when a hold has no known end. */
const endlessHoldSeconds = 30;

/** Draws the answer; waits for the end of the call when the client asked for it. */
export async function acceptedAnswer(
  deps: WebDeps,
  upstream: WebUpstream,
  stored: Stored,
  wait: { readonly seconds: number; readonly signal: AbortSignal },
): Promise<ApiResponse> {
  const found = await readBack(deps, upstream, stored, wait);
  const replayed: Record<string, string> = stored.replayed ? { 'Idempotency-Replayed': 'true' } : {};
  if (found === undefined) return storageUnknown(stored.id);
  if (found.kind !== 'found') {
    const missing = missingCall('gone');
    return { ...missing, headers: { ...missing.headers, ...replayed } };
  }
  const { view, finished } = found;
  const headers = { Location: view.links.self, ...replayed };
  if (wait.seconds > 0 && finished) {
    return { status: 200, headers: { ...headers, 'Preference-Applied': `wait=${wait.seconds}` }, body: view };
  }
  return { status: 202, headers: { ...headers, ...retryAfter(view) }, body: view };
}

/** The call as it stands; if Redis is lost meanwhile, as this request stored it; undefined if it did not. */
async function readBack(
  deps: WebDeps,
  upstream: WebUpstream,
  stored: Stored,
  wait: { readonly seconds: number; readonly signal: AbortSignal },
): Promise<FoundCall | undefined> {
  try {
    const reading = lookedAt(deps, upstream, stored).then(
      (found) => found ?? awaitCall(deps, upstream, stored.id, wait),
    );
    return wait.seconds > 0
      ? await reading
      : await withDeadline(reading, patienceMs(deps, stored), 'Redis took too long');
  } catch (err) {
    deps.log.warn({ err, call: stored.id }, 'a stored call could not be read back');
    if (!stored.added) return undefined;
    const scheduled = (stored.added.opts.delay ?? 0) > 0;
    const dueMs = scheduled ? (stored.added.opts.timestamp ?? 0) + (stored.added.opts.delay ?? 0) : null;
    const placement = { state: scheduled ? 'delayed' : 'waiting', dueMs, position: null } as const;
    const view = callView({
      upstream: upstream.name,
      call: { job: stored.added, placement },
      holds: [],
      nowMs: Date.now(),
      sealer: deps.sealer,
    });
    return { kind: 'found', view, finished: false };
  }
}

/** A call that an earlier request stored can be drawn from Redis only: that may take what storing has left over. */
function patienceMs({ answerTimes: { storeMs, readBackMs } }: WebDeps, { added, beganMs }: Stored): number {
  return added ? readBackMs : readBackMs + Math.max(0, storeMs - (performance.now() - beganMs));
}

/** The call as this request stored it, if it still waits; undefined when it has to be read. */
async function lookedAt(
  deps: WebDeps,
  upstream: WebUpstream,
  { added, replayed, look }: Stored,
): Promise<FoundCall | undefined> {
  if (!added || replayed || !look) return undefined;
  const { state, placement, throughput } = await look;
  if (placement.state !== 'waiting' && placement.state !== 'delayed') return undefined;
  const view = callView({
    upstream: upstream.name,
    call: { job: added, placement },
    holds: state.holds,
    nowMs: state.nowMs,
    sealer: deps.sealer,
    ...(throughput && { throughput }),
  });
  return { kind: 'found', view, finished: false };
}

/** Agrees with the estimate: when the call may be finished at the earliest; without a rate, when the holds end. */
function retryAfter({ holds, estimate }: CallView): Record<string, string> {
  if (holds.length === 0) return {};
  const times = estimate?.finishBetween ? [estimate.finishBetween[0]] : holds.map(({ until }) => until);
  const seconds = times.map((time) =>
    time === null ? endlessHoldSeconds : Math.ceil((Date.parse(time) - Date.now()) / 1000),
  );
  return { 'Retry-After': String(Math.max(1, ...seconds)) };
}
