/**
 * `DELETE /v1/calls/{id}` cancels a waiting call; `POST /v1/calls/{id}/retry` puts one that ended without success
 * back into the line. Always true: neither touches a call that runs, or one of which nobody knows whether it was
 * done; that is settled in the admin app.
 */

import { retryableStatuses, retryCall } from '@recloser/calls/write/retry-call';
import { cancelWaiting } from '@recloser/calls/write/settle-waiting';
import { classifyStoreError } from '@recloser/calls/write/store-error';
import { type FoundCall, findCall, missingCall, upstreamOf } from '../calls/find-call.ts';
import { problem, storageUnknown } from '../http/problem.ts';
import type { ProblemCode } from '../http/problem-codes.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';
import { refuseIntake } from './intake.ts';

const conflicts = {
  call_running: 'It runs; wait for its end.',
  call_finished: 'There is nothing left to cancel.',
  call_not_finished: 'It still waits or runs; only a call that ended without success can be retried.',
  call_succeeded: 'Running it again would do its work twice. Submit a new call instead.',
  call_in_doubt:
    'It was sent and there is no proof either way. A person settles it as done or sends it again: open /in-doubt in the admin app, or POST /api/in-doubt/{id} there.',
} as const satisfies Partial<Record<ProblemCode, string>>;

const unknownDetail =
  'Redis did not answer in time, so it may have been done or not. Look at the call at /v1/calls/{id} before asking again.';

const sentDetail =
  'It was sent once and may have been done. It is being looked for, or a person has to settle it: wait for its end.';

/** Answers 200 with the cancelled call, also when it was cancelled before; 409 when it runs, ended otherwise or may have been sent. */
export async function cancelCall(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const id = request.params.id ?? '';
  const upstream = upstreamOf(deps, id);
  if (!upstream) return missingCall('unknown');
  const { redis } = deps;
  const where = { redis, queue: upstream.queue, root: upstream.root };
  const ended = await cancelWaiting(where, id, request.client).catch(unanswered(deps, id));
  switch (ended) {
    case 'settled':
      deps.log.info({ call: id, client: request.client }, 'a call was cancelled');
      return answer(await findCall(deps, upstream, id), 200);
    case 'running':
      return conflict('call_running', id);
    case 'sent':
      return conflict('call_in_doubt', id, sentDetail);
    case 'finished': {
      const found = await findCall(deps, upstream, id);
      const isCancelled = found.kind !== 'found' || found.view.status === 'cancelled';
      return isCancelled ? answer(found, 200) : conflict('call_finished', id);
    }
    case 'unreadable':
      return conflict('call_finished', id);
    case 'missing':
      return answer(await findCall(deps, upstream, id), 409);
    case 'unknown':
      return storageUnknown(id, unknownDetail);
    default:
      return ended satisfies never;
  }
}

/** Answers 202 with the call, waiting again; 409 when it has not ended, succeeded or is in doubt. */
export async function retryOneCall(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const id = request.params.id ?? '';
  const upstream = upstreamOf(deps, id);
  if (!upstream) return missingCall('unknown');
  const found = await findCall(deps, upstream, id);
  if (found.kind !== 'found') return missingCall(found.kind);
  const refusal = retryableStatuses.has(found.view.status) ? refuseIntake(deps, upstream) : undefined;
  return refusal ?? (await retry(deps, upstream, id, request.client));
}

async function retry(
  deps: WebDeps,
  upstream: WebUpstream,
  id: string,
  client: string | undefined,
): Promise<ApiResponse> {
  const where = { redis: deps.redis, queue: upstream.queue, root: upstream.root };
  const ended = await retryCall(where, id, Date.now()).catch(unanswered(deps, id));
  switch (ended) {
    case 'waiting':
      deps.log.info({ call: id, client }, 'a call was put back');
      return answer(await findCall(deps, upstream, id), 202);
    case 'unfinished':
      return conflict('call_not_finished', id);
    case 'succeeded':
      return conflict('call_succeeded', id);
    case 'in_doubt':
      return conflict('call_in_doubt', id);
    case 'missing':
      return answer(await findCall(deps, upstream, id), 409);
    case 'unreadable':
      return conflict('call_finished', id);
    case 'unknown':
      return storageUnknown(id, unknownDetail);
    default:
      return ended satisfies never;
  }
}

/** Redis may have carried the change out and lost only its answer; what it refused goes on as an error. */
const unanswered =
  ({ log }: WebDeps, call: string) =>
  (cause: unknown): 'unknown' => {
    const { kind, error } = classifyStoreError(cause);
    if (kind === 'refused') throw error;
    log.warn({ err: error, call }, 'whether a call was changed is not known');
    return kind;
  };

function answer(found: FoundCall, status: 200 | 202 | 409): ApiResponse {
  if (found.kind !== 'found') return missingCall(found.kind);
  // It was gone a moment ago and is there now: just being stored.
  if (status === 409) return conflict('call_running', found.view.id);
  return { status, headers: { Location: found.view.links.self }, body: found.view };
}

function conflict(code: keyof typeof conflicts, id: string, detail: string = conflicts[code]): ApiResponse {
  return problem(code, { detail, more: { id, links: { self: `/v1/calls/${id}` } } });
}
