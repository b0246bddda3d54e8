/**
 * `POST /v1/calls/{upstream}/{operation}`: validate, store once per key, answer 202.
 *
 * Always true: 202 is sent only after Redis has said that it stored the call; everything that can refuse a
 * request is asked before, so a request is either refused with a problem or kept.
 */
import {
  type EnqueueResult,
  enqueueCall,
  type IdempotencyClaim,
  isKnownRequest,
  requestFingerprint,
} from '@recloser/calls/enqueue';
import type { OperationDefinition } from '@recloser/upstreams/upstream';
import { acceptedAnswer } from './accepted-answer.ts';
import { preferredWait } from './prefer.ts';
import { type ProblemCode, problem, storageUnavailable, storageUnknown } from './problem.ts';
import { parseSubmission, type Submission } from './request-body.ts';
import type { ApiRequest, ApiResponse } from './route.ts';
import { traceHeaders } from './trace.ts';
import type { WebDeps, WebUpstream } from './web-deps.ts';

/** Leaves time to answer within 2 s whatever Redis does. */
const storeTimeoutMs = 1700;
const backlogRetrySeconds = 10;

type Target = { readonly upstream: WebUpstream; readonly operation: OperationDefinition };

/** Answers 202 (200 when it waited and the call finished), or a problem. */
export async function submitCall(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const target = findTarget(request.params, deps);
  if ('status' in target) return target;
  const { body } = request;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return problem('invalid_body', { detail: 'Send an object with "input" and, if you like, "options".' });
  }
  const claim = claimOf(request, target, body);
  if (claim !== undefined && 'status' in claim) return claim;
  const parsed = parseSubmission(body, target.operation, Date.now());
  if (!parsed.ok) {
    return problem('validation_failed', {
      detail: 'See errors, one entry per field.',
      more: { errors: parsed.errors },
    });
  }
  const refusal =
    refuseIntake(deps, target.upstream) ?? (await refuseOpen(deps, target.upstream, parsed.value, claim));
  if (refusal) return refusal;
  const result = await store(request, deps, target, parsed.value, claim);
  if (result.kind === 'stored')
    deps.metrics.accepted(target.upstream.name, target.operation.name, result.replayed);
  return answerOf(result, request, deps, target.upstream);
}

/** The problem with an address that leads to no operation. */
export function checkTarget(params: ApiRequest['params'], deps: WebDeps): ApiResponse | undefined {
  const target = findTarget(params, deps);
  return 'status' in target ? target : undefined;
}

function findTarget(params: ApiRequest['params'], deps: WebDeps): Target | ApiResponse {
  const { upstream: name = '', operation: operationName = '' } = params;
  const upstream = deps.upstreams.get(name);
  if (!upstream) {
    return problem('unknown_upstream', {
      detail: 'GET /v1/upstreams lists the upstreams.',
      more: { known: [...deps.upstreams.keys()] },
    });
  }
  const known = Object.keys(upstream.operations);
  const operation = known.includes(operationName) ? upstream.operations[operationName] : undefined;
  if (!operation)
    return problem('unknown_operation', { detail: `${name} has other operations.`, more: { known } });
  return { upstream, operation };
}

function claimOf(
  request: ApiRequest,
  target: Target,
  body: object,
): IdempotencyClaim | ApiResponse | undefined {
  const key = request.header('Idempotency-Key');
  if (key === undefined) return undefined;
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    return problem('invalid_idempotency_key', {
      detail: 'It has 1 to 255 visible ASCII characters, no spaces.',
    });
  }
  const fingerprint = requestFingerprint(target.upstream.name, target.operation.name, body);
  return { scope: request.client ?? '', key, fingerprint };
}

/** Redis may not be fit to keep another call, or too many wait already. */
function refuseIntake(deps: WebDeps, upstream: WebUpstream): ApiResponse | undefined {
  const { reachable, safe, problems, memoryUsed } = deps.safety();
  const full = memoryUsed !== null && memoryUsed >= deps.memoryLimitShare;
  // Outside production an unsafe Redis is only reported: what is lost there is nobody's but the developer's.
  if (reachable && !safe && (deps.production || full)) {
    const detail = `Nothing was stored. ${problems.join('; ')}.`;
    return problem('storage_unsafe', { detail, retryAfterSeconds: backlogRetrySeconds });
  }
  if (!deps.backlog.isFull(upstream)) return undefined;
  const detail = `${upstream.maxBacklog} calls or more wait for ${upstream.name}. Nothing was stored.`;
  return problem('backlog_full', { detail, retryAfterSeconds: backlogRetrySeconds });
}

/** `ifOpen: "reject"`. A repeat of a call that was accepted before gets that call whatever the breaker does now. */
async function refuseOpen(
  deps: WebDeps,
  upstream: WebUpstream,
  { options }: Submission,
  claim: IdempotencyClaim | undefined,
): Promise<ApiResponse | undefined> {
  if (options.ifOpen !== 'reject') return undefined;
  const { breaker, nowMs } = await deps.readUpstreamState(upstream);
  if (breaker.state === 'closed') return undefined;
  if (claim && (await isKnownRequest(deps.redis, deps.prefix, claim))) return undefined;
  return problem('breaker_open', {
    detail: `The breaker of ${upstream.name} is ${breaker.state}. Nothing was stored.`,
    retryAfterSeconds: breaker.retryAt === null ? 1 : (breaker.retryAt - nowMs) / 1000,
    more: { error: 'External service temporarily unavailable', upstream: upstream.name },
  });
}

function store(
  request: ApiRequest,
  deps: WebDeps,
  { upstream, operation }: Target,
  { input, options }: Submission,
  claim: IdempotencyClaim | undefined,
): Promise<EnqueueResult> {
  const trace = traceHeaders(request);
  return enqueueCall({
    redis: deps.redis,
    queue: upstream.queue,
    prefix: deps.prefix,
    upstream: upstream.name,
    operation,
    input,
    options,
    sealer: deps.sealer,
    requestId: request.requestId,
    timeoutMs: storeTimeoutMs,
    ...(request.client !== undefined && { submittedBy: request.client }),
    ...(trace && { trace }),
    ...(claim && { idempotency: claim }),
  });
}

function answerOf(
  result: EnqueueResult,
  request: ApiRequest,
  deps: WebDeps,
  upstream: WebUpstream,
): ApiResponse | Promise<ApiResponse> {
  const conflict = (code: ProblemCode, detail: string) => problem(code, { detail });
  switch (result.kind) {
    case 'stored': {
      const wait = { seconds: preferredWait(request.header('Prefer')), signal: request.signal };
      return acceptedAnswer(deps, upstream, result, wait);
    }
    case 'key-reused':
      return conflict(
        'idempotency_key_reused',
        'Use a new key for a new request; keys are remembered for 24 hours.',
      );
    case 'unresolved':
      return conflict(
        'idempotency_unresolved',
        'Whether its call ran cannot be told. Check, then use a new key.',
      );
    case 'refused':
      deps.log.warn({ err: result.error }, 'a call could not be stored');
      return storageUnavailable();
    case 'unknown':
      deps.log.warn({ err: result.error, call: result.id }, 'whether a call was stored is not known');
      return storageUnknown(result.id);
    default:
      return result satisfies never;
  }
}
