/**
 * One request to the API, with retries. A request is only repeated if it was certainly not carried out or is safe to
 * repeat (a read, or a request with an idempotency key). No error contains the API key.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ProblemError, UnreachableError } from './errors.ts';

export type TransportOptions = {
  readonly baseUrl: string;
  readonly apiKey?: string | undefined;
  /** How long to retry, counted from the first attempt. */
  readonly retryForMs: number;
  /** The timeout of one attempt, without the time that the request asks the server to wait. */
  readonly timeoutMs: number;
  readonly fetch: typeof fetch;
};

export type ApiRequest = {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly idempotencyKey?: string | undefined;
  /** Whether sending the request twice is safe. */
  readonly repeatable: boolean;
  /** How long the request asks the server to wait before it answers. */
  readonly heldMs?: number;
  readonly signal?: AbortSignal | undefined;
};

export type ApiAnswer<Body> = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
};

const firstWaitMs = 200;
const longestWaitMs = 5_000;
const retriedStatuses = [429, 502, 503, 504];

/** Sends a request. Throws `ProblemError`, `UnreachableError`, or the signal's reason. */
export async function sendRequest<Body>(
  options: TransportOptions,
  request: ApiRequest,
): Promise<ApiAnswer<Body>> {
  const deadline = performance.now() + options.retryForMs;
  // An earlier attempt got no answer and may have been carried out.
  let lost = false;
  for (let tried = 1; ; tried += 1) {
    request.signal?.throwIfAborted();
    let failure: ProblemError | UnreachableError;
    try {
      return await attempt<Body>(options, request, lost);
    } catch (error) {
      if (!(error instanceof ProblemError || error instanceof UnreachableError)) throw error;
      failure = error;
    }
    const waitMs = waitBefore(failure, tried);
    const late = performance.now() + waitMs > deadline;
    if (late || !mayRepeat(failure, request)) throw failure;
    lost ||= !wasRefused(failure);
    await rest(waitMs, request.signal);
  }
}

/** Pauses until the time is up or the signal aborts. Never rejects: the caller checks the signal. */
export async function rest(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await pause(Math.max(0, ms), undefined, signal ? { signal } : {}).catch(() => {});
}

async function attempt<Body>(
  options: TransportOptions,
  request: ApiRequest,
  lost: boolean,
): Promise<ApiAnswer<Body>> {
  const { method, path, query = {}, body, heldMs = 0, idempotencyKey, signal } = request;
  const url = new URL(`${options.baseUrl.replace(/\/+$/, '')}${path}`);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const limit = AbortSignal.timeout(options.timeoutMs + heldMs);
  let response: Response;
  let text: string;
  try {
    response = await options.fetch(url, {
      method,
      headers: {
        accept: 'application/json, application/problem+json',
        ...(options.apiKey !== undefined && { authorization: `Bearer ${options.apiKey}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
        ...request.headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    text = await response.text();
  } catch (cause) {
    signal?.throwIfAborted();
    throw new UnreachableError(`No answer to ${method} ${path}`, { cause, idempotencyKey });
  }
  const parsed = parseJson(text);
  if (!response.ok) {
    const waitMs = retryAfterMs(response.headers);
    throw new ProblemError(response, asObject(parsed), { retryAfterMs: waitMs, afterLostAttempt: lost });
  }
  if (parsed === undefined) {
    const cause = new Error('The answer is not JSON');
    throw new UnreachableError(`No usable answer to ${method} ${path}`, { cause, idempotencyKey });
  }
  return { status: response.status, headers: response.headers, body: parsed as Body };
}

function mayRepeat(failure: ProblemError | UnreachableError, { repeatable }: ApiRequest): boolean {
  if (failure instanceof UnreachableError) return repeatable;
  // `ifOpen: 'reject'` asks for an immediate answer.
  if (failure.code === 'breaker_open') return false;
  return retriedStatuses.includes(failure.status) && (repeatable || wasRefused(failure));
}

/** True if the answer proves that the request was not carried out. */
function wasRefused(failure: ProblemError | UnreachableError): boolean {
  if (failure instanceof UnreachableError) return false;
  return failure.status === 429 || (failure.status === 503 && failure.code !== 'storage_unknown');
}

/** `Retry-After` if given, otherwise exponential backoff with full jitter. */
function waitBefore(failure: ProblemError | UnreachableError, tried: number): number {
  if (failure instanceof ProblemError && failure.retryAfterMs !== null) return failure.retryAfterMs;
  return Math.random() * Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(tried, 10));
}

/** Parses `Retry-After` (RFC 9110): seconds or a date, as ms from now. Null if absent or invalid. */
function retryAfterMs(headers: Headers): number | null {
  const text = headers.get('retry-after')?.trim() ?? '';
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
