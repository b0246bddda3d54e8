/**
 * `POST /v1/calls/{upstream}/{operation}`: validate, store once per key, answer 202.
 *
 * Always true: 202 is sent only after Redis has said that it stored the call; everything that can refuse a
 * request is asked before, so a request is either refused with a problem or kept.
 */
import { type IdempotencyClaim, requestFingerprint } from '@recloser/calls/write/enqueue';
import { preferredWait } from '../http/prefer.ts';
import { problem } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { Look, WebDeps } from '../http/web-deps.ts';
import { acceptedAnswer } from './accepted-answer.ts';
import { findTarget, type Target } from './find-target.ts';
import {
  isIdempotencyKey,
  judgeIfOpen,
  type Prepared,
  refuseIntake,
  replay,
  storeCall,
  storeProblem,
} from './intake.ts';
import { parseSubmission } from './request-body.ts';

/** Answers 202 (200 when it waited and the call finished, or with a stale result), or a problem. */
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

/** Looks at the call in the same write to Redis, unless the client waits for its end. */
async function store(request: ApiRequest, deps: WebDeps, prepared: Prepared, waitSeconds: number) {
  let look: Promise<Look> | undefined;
  const result = await storeCall(request, deps, prepared, {
    onSending(id) {
      if (waitSeconds > 0) return;
      look = deps.lookAtCall(prepared.target.upstream, id);
      // Whoever waits for it learns of it; nobody does when the call could not be stored.
      look.catch(() => undefined);
    },
  });
  return result.kind === 'stored' ? { ...result, ...(look && { look }) } : result;
}

/** The problem with an address that leads to no operation. */
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
    return problem('invalid_body', { detail: 'Send an object with "input" and, if you like, "options".' });
  }
  const key = request.header('Idempotency-Key');
  if (key !== undefined && !isIdempotencyKey(key)) {
    return problem('invalid_idempotency_key', {
      detail: 'It has 1 to 255 visible ASCII characters, no spaces.',
    });
  }
  const parsed = parseSubmission(body, target.operation, deps.callbackHosts);
  if (!parsed.ok) {
    return problem('validation_failed', {
      detail: 'See errors, one entry per field.',
      more: { errors: parsed.errors },
    });
  }
  const submission = parsed.value;
  return { target, submission, ...(key !== undefined && { claim: claimOf(request, target, key, body) }) };
}

/** Of a body that was checked: one nested without end would not survive being put in order. */
function claimOf({ client }: ApiRequest, target: Target, key: string, body: object): IdempotencyClaim {
  const fingerprint = requestFingerprint(target.upstream.name, target.operation.name, body);
  return { scope: client ?? '', key, fingerprint };
}
