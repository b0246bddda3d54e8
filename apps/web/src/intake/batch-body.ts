/** Checks the body of a batch: all of it before anything is stored, with one entry for every bad field. */
import { type IdempotencyClaim, requestFingerprint } from '@recloser/calls/write/enqueue';
import { z } from 'zod';
import { type FieldError, problem } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { WebDeps } from '../http/web-deps.ts';
import { findTarget } from './find-target.ts';
import { isIdempotencyKey, type Prepared } from './intake.ts';
import { fieldErrors, parseSubmission } from './request-body.ts';

/** Calls in one batch at most. */
export const batchItemsMost = 1000;

/** No more is told at once: who has got a thousand items wrong has got one thing wrong. */
const errorsMost = 1000;

const keyMessage = 'It has 1 to 255 visible ASCII characters, no spaces.';

/** The body around the items; an item's input and options are judged by its operation. */
export const batchSchema = z.strictObject({
  items: z
    .array(
      z.strictObject({
        upstream: z.string(),
        operation: z.string(),
        input: z.unknown(),
        options: z.unknown().optional(),
        idempotencyKey: z.string().refine(isIdempotencyKey, keyMessage).optional(),
      }),
    )
    .min(1)
    .max(batchItemsMost),
});

type Item = z.infer<typeof batchSchema>['items'][number];

/** The key of an item that has none of its own. */
export function placeKey(batchKey: string, place: number): string {
  return `batch ${batchKey} ${place}`;
}

/** The items, ready to be stored, or the problem with the batch. */
export function parseBatch(request: ApiRequest, deps: WebDeps): readonly Prepared[] | ApiResponse {
  const { body } = request;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return problem('invalid_body', { detail: 'Send {"items": […]}.' });
  }
  const batchKey = request.header('Idempotency-Key');
  if (batchKey !== undefined && !isIdempotencyKey(batchKey)) {
    return problem('invalid_idempotency_key', { detail: keyMessage });
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
        errors.push({ pointer: `/items/${index}/idempotencyKey`, message: 'Another item has it.' });
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
    return [{ pointer: `/${unknown}`, message: `There is no such ${unknown}.` }];
  }
  const body = { input, ...(options !== undefined && { options }) };
  const parsed = parseSubmission(body, target.operation, deps.callbackHosts);
  if (!parsed.ok) return parsed.errors;
  const submission = parsed.value;
  if (key === undefined) return { target, submission };
  const fingerprint = requestFingerprint(upstream, operation, body);
  return { target, submission, claim: { scope: request.client ?? '', key, fingerprint } };
}

/** The same key for two different items of one batch can only be a mistake. */
function isReused(seen: Map<string, string>, claim: IdempotencyClaim | undefined): boolean {
  if (!claim) return false;
  const before = seen.get(claim.key);
  seen.set(claim.key, claim.fingerprint);
  return before !== undefined && before !== claim.fingerprint;
}

function refused(errors: readonly FieldError[]): ApiResponse {
  return problem('validation_failed', {
    detail: 'Nothing was stored. See errors, one entry per field.',
    more: { errors: errors.slice(0, errorsMost) },
  });
}
