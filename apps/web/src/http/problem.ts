/**
 * The only place where errors become HTTP: `application/problem+json` (RFC 9457) with a stable `type` and
 * `code`. `docs/errors.md` lists every code; a test compares the two.
 *
 * Always true: a problem never repeats what was sent, and never says more about the inside than its code.
 */
import type { ApiResponse } from './route.ts';

/** Every problem this API answers with. The code never changes; the title may be reworded. */
export const problems = {
  malformed_json: { status: 400, title: 'The body is not valid JSON' },
  invalid_body: { status: 400, title: 'The body is not a JSON object' },
  invalid_request: { status: 400, title: 'The request cannot be understood' },
  invalid_idempotency_key: { status: 400, title: 'The Idempotency-Key is not valid' },
  invalid_query: { status: 400, title: 'A query parameter is not valid' },
  unauthorized: { status: 401, title: 'An API key is needed' },
  forbidden: { status: 403, title: 'Not allowed from here' },
  insufficient_scope: { status: 403, title: 'This API key may not do that' },
  not_found: { status: 404, title: 'There is nothing here' },
  unknown_upstream: { status: 404, title: 'There is no such upstream' },
  unknown_operation: { status: 404, title: 'The upstream has no such operation' },
  call_not_found: { status: 404, title: 'There is no such call' },
  call_running: { status: 409, title: 'The call is being made right now' },
  call_finished: { status: 409, title: 'The call has finished' },
  call_not_finished: { status: 409, title: 'The call has not finished yet' },
  call_succeeded: { status: 409, title: 'The call has succeeded' },
  call_in_doubt: { status: 409, title: 'Nobody knows whether the call was done' },
  idempotency_unresolved: { status: 409, title: 'The first request with this key was lost' },
  call_gone: { status: 410, title: 'The call is no longer kept' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be JSON' },
  validation_failed: { status: 422, title: 'Some fields are not valid' },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key was used for another request' },
  rate_limited: { status: 429, title: 'Too many requests with this key' },
  backlog_full: { status: 429, title: 'Too many calls are waiting' },
  internal_error: { status: 500, title: 'Something went wrong here' },
  breaker_open: { status: 503, title: 'The upstream is not taking calls' },
  storage_unavailable: { status: 503, title: 'Calls cannot be stored right now' },
  storage_unknown: { status: 503, title: 'Nobody can know whether the call was stored' },
  storage_unsafe: { status: 503, title: 'Redis is not fit to keep calls' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

/** One bad field: `pointer` is a JSON pointer into the body. */
export type FieldError = { readonly pointer: string; readonly message: string };

type ProblemDetails = {
  /** What is wrong with this very request and what to do, in a sentence. */
  readonly detail: string;
  readonly retryAfterSeconds?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the body. */
  readonly more?: Readonly<Record<string, unknown>>;
};

const problemContentType = 'application/problem+json';
const storageRetrySeconds = 2;

/** The identifier of a problem; it need not lead anywhere. */
export function problemType(code: ProblemCode): string {
  return `https://recloser.dev/problems/${code.replaceAll('_', '-')}`;
}

/** Builds the answer for a problem. */
export function problem(code: ProblemCode, details: ProblemDetails): ApiResponse {
  const { status, title } = problems[code];
  const { detail, retryAfterSeconds, headers, more } = details;
  return {
    status,
    headers: {
      'Content-Type': problemContentType,
      ...(retryAfterSeconds !== undefined && {
        'Retry-After': String(Math.max(1, Math.ceil(retryAfterSeconds))),
      }),
      ...headers,
    },
    body: { type: problemType(code), title, status, code, detail, ...more },
    problem: code,
  };
}

/** The key has used up its requests for now. */
export function rateLimited(resetSeconds: number): ApiResponse {
  return problem('rate_limited', {
    detail: 'Nothing was done. Repeat after Retry-After.',
    retryAfterSeconds: resetSeconds,
  });
}

/** Redis cannot be used, and nothing was stored. */
export function storageUnavailable(): ApiResponse {
  return problem('storage_unavailable', {
    detail: 'Redis does not take or answer commands. Nothing was stored; try again.',
    retryAfterSeconds: storageRetrySeconds,
  });
}

const maybeStored =
  'Redis did not answer in time, so the call may be stored or not. Repeat with the same Idempotency-Key, or look for the call at /v1/calls/{id}, before sending it anew.';

/** The write was sent and not answered. */
export function storageUnknown(id: string, detail = maybeStored): ApiResponse {
  return problem('storage_unknown', {
    detail,
    retryAfterSeconds: storageRetrySeconds,
    more: { id },
  });
}

/** The answer for an error that was thrown, and whether it is a fault of ours that should be logged. */
export function problemOf(error: unknown): { response: ApiResponse; fault: boolean } {
  const response = ofBodyParser(error) ?? (isRedisError(error) ? storageUnavailable() : undefined);
  if (response) return { response, fault: false };
  const detail = 'The request was not carried out. The request id helps to find the reason in the log.';
  return { response: problem('internal_error', { detail }), fault: true };
}

/** The errors of Express and its body parser carry a status and a type. */
function ofBodyParser(error: unknown): ApiResponse | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  if (error.status < 400 || error.status > 499) return undefined;
  const type = 'type' in error ? error.type : undefined;
  if (error.status === 413)
    return problem('payload_too_large', { detail: 'A body has at most 100 kB, that of a batch 4 MB.' });
  if (error.status === 415) {
    return problem('unsupported_media_type', { detail: 'Send UTF-8 JSON, plain or compressed with gzip.' });
  }
  if (type === 'entity.parse.failed' || type === 'entity.verify.failed')
    return problem('malformed_json', { detail: 'Check the syntax of the body.' });
  return problem('invalid_request', { detail: 'Check the address, the headers and the length of the body.' });
}

const redisMessages =
  /Command timed out|Stream isn't writeable|Connection is closed|isn't ready|max retries per request|Redis is not connected|Socket timeout|ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|^(OOM|MISCONF|READONLY|LOADING|NOAUTH|NOPERM|CLUSTERDOWN|MASTERDOWN|BUSY) /;

function isRedisError(error: unknown): boolean {
  return error instanceof Error && redisMessages.test(error.message);
}
