/**
 * `POST /v1/calls/{upstream}/{operation}`: validates the request, stores the call once per idempotency key and answers
 * 202. The response is sent only after Redis has confirmed the write.
 */
import { type IdempotencyClaim, requestFingerprint } from '@recloser/calls/write/enqueue';
import { preferredWait } from '../http/prefer.ts';
import { problem } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { Look, WebDeps } from '../http/web-deps.ts';
import { acceptedAnswer } from './accepted-answer.ts';
import { findTarget, type Target } from './find-target.ts';
import {
  idempotencyKeyRule,
  isIdempotencyKey,
  judgeIfOpen,
  type Prepared,
  refuseIntake,
  replay,
  storeCall,
  storeProblem,
} from './intake.ts';
import { parseSubmission } from './request-body.ts';

/** Answers 202, 200 (the call finished in time, or a stale result) or a problem. */
export async function submitCall(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const prepared = prepare(request, deps);
  if ('status' in prepared) return prepared;
  const { upstream, operation } = prepared.target;
  const refusal = refuseIntake(deps, upstream);
  if (refusal) return refusal;
  const wait = { seconds: preferredWait(request.header('Prefer')), signal: request.signal };
  const beganMs = performance.now();
  const verdict = await judgeIfOpen(deps, prepared, request.client);
  if (verdict.kind === 'answer') return verdict.response;
  const stored =
    verdict.kind === 'store' ? await store(request, deps, prepared, wait.seconds) : replay(verdict.id);
  if (stored.kind !== 'stored') return storeProblem(deps, stored);
  deps.metrics.accepted(upstream.name, operation.name, stored.replayed);
  return acceptedAnswer(deps, upstream, { ...stored, beganMs }, wait);
}

/** Stores the call. Unless the client waits, the placement of the call is read in the same write to Redis. */
async function store(request: ApiRequest, deps: WebDeps, prepared: Prepared, waitSeconds: number) {
  let look: Promise<Look> | undefined;
  const result = await storeCall(request, deps, prepared, {
    onSending(id) {
      if (waitSeconds > 0) return;
      look = deps.lookAtCall(prepared.target.upstream, id);
      // If the call is not stored, nobody awaits `look`.
      look.catch(() => undefined);
    },
  });
  return result.kind === 'stored' ? { ...result, ...(look && { look }) } : result;
}

/** A problem if the URL names no known operation. */
export function checkTarget(params: ApiRequest['params'], deps: WebDeps): ApiResponse | undefined {
  const target = targetOf(params, deps);
  return 'status' in target ? target : undefined;
}

function targetOf(
  { upstream = '', operation = '' }: ApiRequest['params'],
  deps: WebDeps,
): Target | ApiResponse {
  return findTarget(upstream, operation, deps);
}

function prepare(request: ApiRequest, deps: WebDeps): Prepared | ApiResponse {
  const target = targetOf(request.params, deps);
  if ('status' in target) return target;
  const { body } = request;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return problem('invalid_body', {
      detail: 'Send a JSON object: {"input": {…}, "options": {…}}. "options" is optional.',
    });
  }
  const key = request.header('Idempotency-Key');
  if (key !== undefined && !isIdempotencyKey(key)) {
    return problem('invalid_idempotency_key', {
      detail: idempotencyKeyRule,
    });
  }
  const parsed = parseSubmission(body, target.operation, deps.callbackHosts);
  if (!parsed.ok) {
    return problem('validation_failed', {
      detail: 'Nothing was stored. `errors` has one entry per invalid field.',
      more: { errors: parsed.errors },
    });
  }
  const submission = parsed.value;
  return { target, submission, ...(key !== undefined && { claim: claimOf(request, target, key, body) }) };
}

/**
 * Call this only with a validated body: `requestFingerprint` recurses, and a deeply nested body would overflow the
 * stack.
 */
function claimOf({ client }: ApiRequest, target: Target, key: string, body: object): IdempotencyClaim {
  const fingerprint = requestFingerprint(target.upstream.name, target.operation.name, body);
  return { scope: client ?? '', key, fingerprint };
}
