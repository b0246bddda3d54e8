/** The client's errors. It also throws the reason of the caller's signal. */
import type { Call } from './call.ts';

/** One invalid field. `pointer` is a JSON Pointer into the request body. */
export type FieldError = { readonly pointer: string; readonly message: string };

/** The API refused the request with a problem document (RFC 9457). docs/errors.md lists the codes. */
export class ProblemError extends Error {
  readonly code: string;
  readonly status: number;
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  /** One entry per invalid field if `status` is 422. */
  readonly errors: readonly FieldError[];
  /** From `Retry-After`. */
  readonly retryAfterMs: number | null;
  readonly requestId: string | null;
  /** An earlier attempt at this request got no answer. It may have been carried out and caused this refusal. */
  readonly afterLostAttempt: boolean;
  /** The whole document. */
  readonly body: Readonly<Record<string, unknown>>;

  constructor(
    response: Response,
    body: Readonly<Record<string, unknown>>,
    about: { readonly retryAfterMs: number | null; readonly afterLostAttempt: boolean },
  ) {
    const text = (name: string): string => (typeof body[name] === 'string' ? body[name] : '');
    super(`${response.status} ${text('code')}: ${text('detail') || text('title') || response.statusText}`);
    this.name = 'ProblemError';
    this.status = response.status;
    this.code = text('code') || `http_${response.status}`;
    this.type = text('type') || 'about:blank';
    this.title = text('title');
    this.detail = text('detail');
    this.errors = Array.isArray(body.errors) ? (body.errors as FieldError[]) : [];
    this.retryAfterMs = about.retryAfterMs;
    this.afterLostAttempt = about.afterLostAttempt;
    this.requestId = response.headers.get('x-request-id');
    this.body = body;
  }
}

/** No usable answer after all retries. Repeating the request with the same idempotency key is safe. */
export class UnreachableError extends Error {
  readonly code = 'unreachable';
  readonly idempotencyKey: string | undefined;

  constructor(message: string, options: { cause: unknown; idempotencyKey?: string | undefined }) {
    super(message, { cause: options.cause });
    this.name = 'UnreachableError';
    this.idempotencyKey = options.idempotencyKey;
  }
}

/** `wait` timed out. The call continues. */
export class WaitTimeoutError extends Error {
  readonly code = 'wait_timeout';
  /** The last known state, or undefined. */
  readonly call: Call | undefined;

  constructor(id: string, timeoutMs: number, call: Call | undefined) {
    super(`Call ${id} did not end within ${timeoutMs} ms${call ? `. Its status is ${call.status}` : ''}`);
    this.name = 'WaitTimeoutError';
    this.call = call;
  }
}
