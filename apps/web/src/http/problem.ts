/**
 * The only place where errors become HTTP: `application/problem+json` (RFC 9457) with a stable `type` and
 * `code`. `docs/errors.md` lists every code; a test compares the two.
 *
 * Always true: a problem never repeats what was sent, and never says more about the inside than its code.
 */

import { type ProblemCode, problems } from './problem-codes.ts';
import type { ApiResponse } from './route.ts';

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
