/** The problems this API answers with. `docs/errors.md` lists every code; a test compares the two. */

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
