/**
 * `DELETE /v1/calls/{id}` cancels a waiting call. `POST /v1/calls/{id}/retry` returns a call that ended without success
 * to the queue. Neither changes a running call or a call in doubt, which a person settles in the admin app.
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
  call_running: 'The call is running and cannot be changed. Wait until it has finished.',
  call_finished: 'The call has finished and cannot be cancelled.',
  call_not_finished:
    'The call is waiting or running. Only a failed, expired or cancelled call can be retried.',
  call_succeeded: 'The call succeeded, so a retry would carry it out twice. Submit a new call instead.',
  call_in_doubt:
    'The call was sent, and nothing proves whether it was carried out. A person must settle it as done or resend it: open /in-doubt in the admin app, or POST /api/in-doubt/{id} there.',
} as const satisfies Partial<Record<ProblemCode, string>>;

const unknownDetail =
  'Redis did not respond in time. The change may or may not have been made. Get /v1/calls/{id} before you retry.';

const sentDetail =
  'The call was sent and may have been carried out, so it cannot be cancelled. Wait until a read-back or a person settles it.';

/**
 * Answers 200 with the cancelled call, also if it was already cancelled. Answers 409 if it is running, may have been
 * sent or has finished.
 */
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

/** Answers 202 with the call, or 409 if it has not finished, succeeded or is in doubt. */
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
      deps.log.info({ call: id, client }, 'a call was retried');
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

/** Without a response, Redis may have made the change. A refused write is thrown again. */
const unanswered =
  ({ log }: WebDeps, call: string) =>
  (cause: unknown): 'unknown' => {
    const { kind, error } = classifyStoreError(cause);
    if (kind === 'refused') throw error;
    log.warn({ err: error, call }, 'it is unknown whether a call was changed');
    return kind;
  };

function answer(found: FoundCall, status: 200 | 202 | 409): ApiResponse {
  if (found.kind !== 'found') return missingCall(found.kind);
  // The change did not find the call, but it exists now: it is being stored.
  if (status === 409) return conflict('call_running', found.view.id);
  return { status, headers: { Location: found.view.links.self }, body: found.view };
}

function conflict(code: keyof typeof conflicts, id: string, detail: string = conflicts[code]): ApiResponse {
  return problem(code, { detail, more: { id, links: { self: `/v1/calls/${id}` } } });
}
