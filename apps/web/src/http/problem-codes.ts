/** The problems that this API returns. `docs/errors.md` lists every code; a test compares the two. */

/** Every problem of this API. A code never changes; a title may. */
export const problems = {
  malformed_json: { status: 400, title: 'The body is not valid JSON' },
  invalid_body: { status: 400, title: 'The body is not a JSON object' },
  invalid_request: { status: 400, title: 'The request is malformed' },
  invalid_idempotency_key: { status: 400, title: 'The Idempotency-Key is not valid' },
  invalid_query: { status: 400, title: 'A query parameter is not valid' },
  unauthorized: { status: 401, title: 'A valid API key is required' },
  forbidden: { status: 403, title: 'Only requests from localhost are allowed' },
  insufficient_scope: { status: 403, title: 'The API key lacks a required scope' },
  not_found: { status: 404, title: 'Unknown URL or method' },
  unknown_upstream: { status: 404, title: 'Unknown upstream' },
  unknown_operation: { status: 404, title: 'Unknown operation' },
  call_not_found: { status: 404, title: 'Unknown call' },
  call_running: { status: 409, title: 'The call is running' },
  call_finished: { status: 409, title: 'The call has finished' },
  call_not_finished: { status: 409, title: 'The call has not finished' },
  call_succeeded: { status: 409, title: 'The call succeeded' },
  call_in_doubt: { status: 409, title: 'The call may have been carried out' },
  idempotency_unresolved: { status: 409, title: 'The outcome of the first request with this key is unknown' },
  call_gone: { status: 410, title: 'The call is no longer kept' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be JSON' },
  validation_failed: { status: 422, title: 'The body has invalid fields' },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key was used for another request' },
  rate_limited: { status: 429, title: 'The API key has reached its rate limit' },
  backlog_full: { status: 429, title: 'Too many calls are waiting' },
  internal_error: { status: 500, title: 'Internal error' },
  breaker_open: { status: 503, title: 'The breaker of the upstream is not closed' },
  storage_unavailable: { status: 503, title: 'Redis is unavailable' },
  storage_unknown: { status: 503, title: 'The call may or may not have been stored' },
  storage_unsafe: { status: 503, title: 'Redis cannot store calls safely' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;
