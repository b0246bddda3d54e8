/** What the client throws, besides the reason of the caller's own signal. Each class has a stable `code`. */
import type { Call } from './call.ts';

/** One bad field of a request; `pointer` is a JSON pointer into its body. */
export type FieldError = { readonly pointer: string; readonly message: string };

/** The API refused: its problem document (RFC 9457). `code` is one of docs/errors.md. */
export class ProblemError extends Error {
  readonly code: string;
  readonly status: number;
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  /** One entry per bad field when `status` is 422. */
  readonly errors: readonly FieldError[];
  /** From `Retry-After`. */
  readonly retryAfterMs: number | null;
  readonly requestId: string | null;
  /** An earlier attempt at the same request got no answer: it may be what this refusal is about. */
  readonly afterLostAttempt: boolean;
  /** All members of the document. */
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

/** No usable answer, however often it was tried. Repeat with the same idempotency key: nothing is done twice. */
export class UnreachableError extends Error {
  readonly code = 'unreachable';
  readonly idempotencyKey: string | undefined;

  constructor(message: string, options: { cause: unknown; idempotencyKey?: string | undefined }) {
    super(message, { cause: options.cause });
    this.name = 'UnreachableError';
    this.idempotencyKey = options.idempotencyKey;
  }
}

/** `wait` ran out of time; the call goes on. */
export class WaitTimeoutError extends Error {
  readonly code = 'wait_timeout';
  /** As it was seen last; undefined when it was never seen. */
  readonly call: Call | undefined;

  constructor(id: string, timeoutMs: number, call: Call | undefined) {
    super(`${id} has not ended within ${timeoutMs} ms${call ? `, it is ${call.status}` : ''}`);
    this.name = 'WaitTimeoutError';
    this.call = call;
  }
}
