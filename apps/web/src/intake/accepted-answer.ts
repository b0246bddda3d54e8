/**
 * The response for a stored call: 202, or 200 if the client waited and the call finished. If the read fails, the
 * response is built from the data that was stored. Never rejects.
 */
import { type CallView, callView } from '@recloser/calls/read/view';
import type { EnqueueResult } from '@recloser/calls/write/enqueue';
import { withDeadline } from '@recloser/runtime/process/with-deadline';
import { awaitCall, type FoundCall, missingCall } from '../calls/find-call.ts';
import { storageUnknown } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { Look, WebDeps, WebUpstream } from '../http/web-deps.ts';

/** `look`: the placement read together with the write. `beganMs`: start of storing, by `performance.now()`. */
type Stored = Extract<EnqueueResult, { kind: 'stored' }> & {
  readonly look?: Promise<Look>;
  readonly beganMs: number;
};

/** `Retry-After` for a hold without a known end. */
const endlessHoldSeconds = 30;

/** Builds the response. Waits for the call to finish if the client asked for it. */
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

/**
 * Reads the call. If Redis fails, returns the call as this request stored it, or undefined if an earlier request did.
 */
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
      : await withDeadline(reading, patienceMs(deps, stored), 'Redis did not respond in time');
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

/** A call from an earlier request must be read from Redis, so the read may also use the time that storing left over. */
function patienceMs({ answerTimes: { storeMs, readBackMs } }: WebDeps, { added, beganMs }: Stored): number {
  return added ? readBackMs : readBackMs + Math.max(0, storeMs - (performance.now() - beganMs));
}

/** The call as this request stored it, if it is still waiting. Undefined if it must be read from Redis. */
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

/** The earliest time of the estimate. Without an estimate, the end of the holds. */
function retryAfter({ holds, estimate }: CallView): Record<string, string> {
  if (holds.length === 0) return {};
  const times = estimate?.finishBetween ? [estimate.finishBetween[0]] : holds.map(({ until }) => until);
  const seconds = times.map((time) =>
    time === null ? endlessHoldSeconds : Math.ceil((Date.parse(time) - Date.now()) / 1000),
  );
  return { 'Retry-After': String(Math.max(1, ...seconds)) };
}
