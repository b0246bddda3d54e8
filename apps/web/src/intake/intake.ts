/** The steps that single calls and batches share: refuse intake, apply `ifOpen`, store the call. */

import { findSameWish } from '@recloser/calls/queue/store-job';
import {
  type EnqueueRequest,
  type EnqueueResult,
  enqueueCall,
  type IdempotencyClaim,
  readClaim,
} from '@recloser/calls/write/enqueue';
import { wishDigest } from '@recloser/calls/write/same-wish';
import { problem, storageUnavailable, storageUnknown } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import { endStoring, traceStoring } from '../http/trace.ts';
import type { AnswerTimes, UpstreamStateView, WebDeps, WebUpstream } from '../http/web-deps.ts';
import type { Target } from './find-target.ts';
import type { Submission } from './request-body.ts';
import { staleAnswer } from './stale-answer.ts';

const backlogRetrySeconds = 10;

/** Together they leave time to respond within 2 s, whatever Redis does. */
export const answerTimes: AnswerTimes = { storeMs: 1_700, readBackMs: 250 };

/** A validated call. */
export type Prepared = {
  readonly target: Target;
  readonly submission: Submission;
  readonly claim?: IdempotencyClaim;
  /** Position in the batch, if the key comes from the batch. */
  readonly place?: number;
};

export const idempotencyKeyRule = 'Expected 1 to 255 visible ASCII characters without spaces.';

/** True if the key matches `idempotencyKeyRule`. */
export function isIdempotencyKey(key: string): boolean {
  return /^[\x21-\x7e]{1,255}$/.test(key);
}

/** A problem if Redis cannot store calls safely, or if the backlog has no room for `count` more calls. */
export function refuseIntake(deps: WebDeps, upstream: WebUpstream, count = 1): ApiResponse | undefined {
  const { reachable, safe, problems, memoryUsed } = deps.safety();
  const full = memoryUsed !== null && memoryUsed >= deps.memoryLimitShare;
  // Outside production, an unsafe Redis is only reported.
  if (reachable && !safe && (deps.production || full)) {
    const detail = `Nothing was stored. ${problems.join('; ')}.`;
    return problem('storage_unsafe', { detail, retryAfterSeconds: backlogRetrySeconds });
  }
  if (!deps.backlog.isFull(upstream, count)) return undefined;
  const detail = `Nothing was stored. The backlog of ${upstream.name} is limited to ${upstream.maxBacklog} calls. Retry later.`;
  return problem('backlog_full', { detail, retryAfterSeconds: backlogRetrySeconds });
}

/** What to do with a validated call. */
export type Verdict =
  | { readonly kind: 'store' }
  /** Store nothing and send this response. */
  | { readonly kind: 'answer'; readonly response: ApiResponse }
  /** Store nothing and return this earlier call. */
  | { readonly kind: 'same-wish'; readonly id: string };

/** Applies `ifOpen`. A repeat of an accepted call returns that call, whatever the state of the breaker. */
export async function judgeIfOpen(
  deps: WebDeps,
  prepared: Prepared,
  client: string | undefined,
): Promise<Verdict> {
  const { target, submission, claim } = prepared;
  const { ifOpen } = submission.options;
  if (ifOpen === 'defer') return { kind: 'store' };
  const { upstream } = target;
  const state = await deps.readUpstreamState(upstream);
  if (ifOpen === 'stale') deps.noteWanted(upstream, target.operation.name);
  if (state.breaker.state === 'closed') return { kind: 'store' };
  const known = claim && (await readClaim(deps.redis, deps.prefix, claim));
  if (known && known.fingerprint === claim.fingerprint) return { kind: 'store' };
  const same = await sameWish(deps, prepared, client);
  if (same !== null) return { kind: 'same-wish', id: same };
  if (ifOpen === 'reject') return { kind: 'answer', response: rejection(upstream, state) };
  const response = await staleAnswer(deps, target, submission, state);
  return response ? { kind: 'answer', response } : { kind: 'store' };
}

async function sameWish(
  { redis }: WebDeps,
  { target: { upstream, operation }, submission, claim }: Prepared,
  client: string | undefined,
): Promise<string | null> {
  const { input, options } = submission;
  if (!operation.duplicateWindowSeconds || claim || options.allowDuplicate) return null;
  const wish = { submittedBy: client, upstream: upstream.name, operation: operation.name, input };
  return findSameWish({ redis, queue: upstream.queue, root: upstream.root, digest: wishDigest(wish) });
}

function rejection(upstream: WebUpstream, { breaker, nowMs }: UpstreamStateView): ApiResponse {
  return problem('breaker_open', {
    detail: `Nothing was stored. The breaker of ${upstream.name} is ${breaker.state}. Retry after Retry-After, or use ifOpen: "defer".`,
    retryAfterSeconds: breaker.retryAt === null ? 1 : (breaker.retryAt - nowMs) / 1000,
    more: { error: 'External service temporarily unavailable', upstream: upstream.name },
  });
}

/** The result for a call that an earlier request stored. */
export function replay(id: string): Extract<EnqueueResult, { kind: 'stored' }> {
  return { kind: 'stored', id, replayed: true };
}

/** Stores a call. A failure of Redis is a result, not a rejection. */
export async function storeCall(
  request: Pick<ApiRequest, 'client' | 'requestId' | 'trace'>,
  deps: WebDeps,
  { target: { upstream, operation }, submission, claim }: Prepared,
  { onSending }: Pick<EnqueueRequest, 'onSending'> = {},
): Promise<EnqueueResult> {
  const span = traceStoring(deps, request.trace, upstream.name, operation.name);
  const trace = span.headers;
  const result = await enqueueCall({
    redis: deps.redis,
    queue: upstream.queue,
    prefix: deps.prefix,
    upstream: upstream.name,
    operation,
    input: submission.input,
    options: submission.options,
    sealer: deps.sealer,
    requestId: request.requestId,
    retention: deps.retention,
    timeoutMs: deps.answerTimes.storeMs,
    ...(onSending && { onSending }),
    ...(deps.confirmWritten && { confirmWritten: deps.confirmWritten }),
    ...(request.client !== undefined && { submittedBy: request.client }),
    ...(trace && { trace }),
    ...(claim && { idempotency: claim }),
  });
  endStoring(span, result);
  return result;
}

function keyReused(id: string): ApiResponse {
  return problem('idempotency_key_reused', {
    detail: `Nothing was stored. This key was used for a different request, whose call is ${id}. Keys are remembered for 24 hours. To retry that request, send the same body. Use a new key only for a request that you have never sent before.`,
    more: { id, links: { self: `/v1/calls/${id}` } },
  });
}

/** The problem for a call that was not stored, or may not have been stored. */
export function storeProblem(
  deps: Pick<WebDeps, 'log'>,
  result: Exclude<EnqueueResult, { kind: 'stored' }>,
): ApiResponse {
  switch (result.kind) {
    case 'key-reused':
      return keyReused(result.id);
    case 'unresolved':
      return problem('idempotency_unresolved', {
        detail:
          'The first request with this key is more than ten minutes old, and it is unknown whether its call was made. Check in the upstream whether it was done before you send it under another key.',
      });
    case 'refused':
      deps.log.warn({ err: result.error }, 'a call could not be stored');
      return storageUnavailable();
    case 'unknown':
      deps.log.warn({ err: result.error, call: result.id }, 'it is unknown whether a call was stored');
      return storageUnknown(result.id);
    default:
      return result satisfies never;
  }
}
