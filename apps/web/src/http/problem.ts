/**
 * Turns errors into `application/problem+json` (RFC 9457) with a stable `type` and `code`. A problem never repeats
 * values from the request and exposes no internals.
 */

import { type ProblemCode, problems } from './problem-codes.ts';
import type { ApiResponse } from './route.ts';

/** One invalid field. `pointer` is a JSON Pointer into the body. */
export type FieldError = { readonly pointer: string; readonly message: string };

type ProblemDetails = {
  /** What is wrong with this request and how to fix it. */
  readonly detail: string;
  readonly retryAfterSeconds?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the body. */
  readonly more?: Readonly<Record<string, unknown>>;
};

const problemContentType = 'application/problem+json';
const storageRetrySeconds = 2;

/** The `type` of a problem. It is an identifier; there is no page at this address. */
export function problemType(code: ProblemCode): string {
  return `https://recloser.dev/problems/${code.replaceAll('_', '-')}`;
}

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

export function rateLimited(resetSeconds: number): ApiResponse {
  return problem('rate_limited', {
    detail: 'The request was not processed. Retry after the number of seconds in Retry-After.',
    retryAfterSeconds: resetSeconds,
  });
}

/** Redis is unavailable, and nothing was stored. */
export function storageUnavailable(): ApiResponse {
  return problem('storage_unavailable', {
    detail: 'Redis is unreachable or refused the write. Nothing was stored. Retry later.',
    retryAfterSeconds: storageRetrySeconds,
  });
}

const maybeStored =
  'Redis did not respond in time. The call may or may not be stored. Retry with the same Idempotency-Key, or get /v1/calls/{id}, before you submit the call again.';

/** The write was sent to Redis, which did not respond. */
export function storageUnknown(id: string, detail = maybeStored): ApiResponse {
  return problem('storage_unknown', {
    detail,
    retryAfterSeconds: storageRetrySeconds,
    more: { id },
  });
}

/** The response for a thrown error. `fault`: the error is a bug and must be logged. */
export function problemOf(error: unknown): { response: ApiResponse; fault: boolean } {
  const response = ofBodyParser(error) ?? (isRedisError(error) ? storageUnavailable() : undefined);
  if (response) return { response, fault: false };
  const detail =
    'The request was not processed. The log contains the cause under the X-Request-Id of this response.';
  return { response: problem('internal_error', { detail }), fault: true };
}

/** The errors of Express and its body parser carry a status and a type. */
function ofBodyParser(error: unknown): ApiResponse | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  if (error.status < 400 || error.status > 499) return undefined;
  const type = 'type' in error ? error.type : undefined;
  if (error.status === 413)
    return problem('payload_too_large', {
      detail: 'The maximum body size is 100 kB. For a batch it is 4 MB.',
    });
  if (error.status === 415) {
    return problem('unsupported_media_type', {
      detail: 'Send JSON in UTF-8, uncompressed or compressed with gzip.',
    });
  }
  if (type === 'entity.parse.failed' || type === 'entity.verify.failed')
    return problem('malformed_json', { detail: 'The body is empty or not valid JSON.' });
  return problem('invalid_request', { detail: 'Check the URL, the headers and the length of the body.' });
}

const redisMessages =
  /Command timed out|Stream isn't writeable|Connection is closed|isn't ready|max retries per request|Redis is not connected|Socket timeout|ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|^(OOM|MISCONF|READONLY|LOADING|NOAUTH|NOPERM|CLUSTERDOWN|MASTERDOWN|BUSY) /;

function isRedisError(error: unknown): boolean {
  return error instanceof Error && redisMessages.test(error.message);
}
