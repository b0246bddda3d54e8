/** Validates the whole body of a batch before anything is stored. Reports one error per invalid field. */
import { type IdempotencyClaim, requestFingerprint } from '@recloser/calls/write/enqueue';
import { z } from 'zod';
import { type FieldError, problem } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { WebDeps } from '../http/web-deps.ts';
import { findTarget } from './find-target.ts';
import { idempotencyKeyRule, isIdempotencyKey, type Prepared } from './intake.ts';
import { fieldErrors, parseSubmission } from './request-body.ts';

/** Maximum number of calls in one batch. */
export const batchItemsMost = 1000;

/** Maximum number of reported errors. */
const errorsMost = 1000;

/** The schema of the body, without `input` and `options`, whose schema depends on the operation. */
export const batchSchema = z.strictObject({
  items: z
    .array(
      z.strictObject({
        upstream: z.string(),
        operation: z.string(),
        input: z.unknown(),
        options: z.unknown().optional(),
        idempotencyKey: z.string().refine(isIdempotencyKey, idempotencyKeyRule).optional(),
      }),
    )
    .min(1)
    .max(batchItemsMost),
});

type Item = z.infer<typeof batchSchema>['items'][number];

/** The idempotency key of an item without an `idempotencyKey`. */
export function placeKey(batchKey: string, place: number): string {
  return `batch ${batchKey} ${place}`;
}

/** The validated items, or a problem with the batch. */
export function parseBatch(request: ApiRequest, deps: WebDeps): readonly Prepared[] | ApiResponse {
  const { body } = request;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return problem('invalid_body', { detail: 'Send a JSON object: {"items": […]}.' });
  }
  const batchKey = request.header('Idempotency-Key');
  if (batchKey !== undefined && !isIdempotencyKey(batchKey)) {
    return problem('invalid_idempotency_key', { detail: idempotencyKeyRule });
  }
  const parsed = batchSchema.safeParse(body);
  if (!parsed.success) return refused(fieldErrors(parsed.error.issues));
  const errors: FieldError[] = [];
  const items: Prepared[] = [];
  const seen = new Map<string, string>();
  for (const [index, item] of parsed.data.items.entries()) {
    const byPlace = item.idempotencyKey === undefined && batchKey !== undefined;
    const key = byPlace ? placeKey(batchKey, index) : item.idempotencyKey;
    const judged = parseItem(request, deps, item, key);
    if (Array.isArray(judged)) {
      const within = judged.map(({ pointer, message }) => ({
        pointer: `/items/${index}${pointer}`,
        message,
      }));
      errors.push(...within);
    } else {
      const conflict = isReused(seen, judged.claim);
      if (conflict)
        errors.push({
          pointer: `/items/${index}/idempotencyKey`,
          message: 'Another item of this batch uses this key for a different call.',
        });
      else items.push({ ...judged, ...(byPlace && { place: index }) });
    }
  }
  return errors.length > 0 ? refused(errors) : items;
}

function parseItem(
  request: ApiRequest,
  deps: WebDeps,
  { upstream, operation, input, options }: Item,
  key: string | undefined,
): Prepared | FieldError[] {
  const target = findTarget(upstream, operation, deps);
  if ('status' in target) {
    const unknown = target.problem === 'unknown_upstream' ? 'upstream' : 'operation';
    return [{ pointer: `/${unknown}`, message: `Unknown ${unknown}.` }];
  }
  const body = { input, ...(options !== undefined && { options }) };
  const parsed = parseSubmission(body, target.operation, deps.callbackHosts);
  if (!parsed.ok) return parsed.errors;
  const submission = parsed.value;
  if (key === undefined) return { target, submission };
  const fingerprint = requestFingerprint(upstream, operation, body);
  return { target, submission, claim: { scope: request.client ?? '', key, fingerprint } };
}

/** True if another item of the batch uses the same key for a different call. */
function isReused(seen: Map<string, string>, claim: IdempotencyClaim | undefined): boolean {
  if (!claim) return false;
  const before = seen.get(claim.key);
  seen.set(claim.key, claim.fingerprint);
  return before !== undefined && before !== claim.fingerprint;
}

function refused(errors: readonly FieldError[]): ApiResponse {
  return problem('validation_failed', {
    detail: 'Nothing was stored. `errors` has one entry per invalid field.',
    more: { errors: errors.slice(0, errorsMost) },
  });
}
