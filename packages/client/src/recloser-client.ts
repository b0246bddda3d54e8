/**
 * The client. It depends only on the global `fetch`. Every submitted call has an idempotency key, generated unless
 * given, and retries repeat it: the call is made once.
 */
import { type Call, type CallOptions, type CallStatus, isFinished } from './call.ts';
import { ProblemError, WaitTimeoutError } from './errors.ts';
import { rest, sendRequest, type TransportOptions } from './transport.ts';

export type RecloserClientOptions = {
  /** The address of the API, for example `http://127.0.0.1:3000`. */
  readonly baseUrl: string;
  readonly apiKey?: string;
  /** How long to retry while the API is unreachable or answers 429, 502, 503 or 504. Default: 60 s. 0 means no retry. */
  readonly retryForMs?: number;
  /** The timeout of one attempt. Default: 10 s. */
  readonly timeoutMs?: number;
  readonly fetch?: typeof fetch;
};

export type SubmitOptions = CallOptions & {
  /** Default: a random key. Set it to be able to repeat the request after a crash of your application. */
  readonly idempotencyKey?: string;
  /** Waits up to this many seconds, at most 30, for the call to finish. */
  readonly waitSeconds?: number;
  readonly signal?: AbortSignal;
};

/** The answer to `ifOpen: 'stale'` if the breaker is not closed and an older result exists. */
export type StaleResult<Result = unknown> = {
  readonly stale: true;
  /** The call that produced the result. */
  readonly id: string;
  readonly result: Result;
  readonly finishedAt: string;
  /** In seconds. */
  readonly age: number;
};

export type BatchItem = {
  readonly upstream: string;
  readonly operation: string;
  readonly input: object;
  readonly options?: CallOptions;
  readonly idempotencyKey?: string;
};

export type ListQuery = {
  readonly upstream?: string;
  readonly status?: CallStatus;
  readonly limit?: number;
  readonly cursor?: string;
};

/** A call without its result and history. */
export type ListedCall = Omit<Call, 'result' | 'history'>;

/** `nextCursor` is null on the last page. Other pages may be short. */
export type CallPage = { readonly calls: readonly ListedCall[]; readonly nextCursor: string | null };

/** The result of one item of a batch: `call` if it is stored, otherwise `stale` or `problem`. */
export type BatchResult = {
  readonly index: number;
  /** The HTTP status of the item as a single request. */
  readonly status: number;
  readonly call?: { readonly id: string; readonly status?: CallStatus; readonly replayed: boolean };
  readonly stale?: StaleResult;
  readonly problem?: Readonly<Record<string, unknown>>;
};

type Signal = { readonly signal?: AbortSignal };

/** The API's limit. */
const longestPollSeconds = 30;
const answerMs = 300;

export class RecloserClient {
  readonly #transport: TransportOptions;

  constructor(options: RecloserClientOptions) {
    const { baseUrl, apiKey, retryForMs = 60_000, timeoutMs = 10_000 } = options;
    new URL(baseUrl); // Throws now for an invalid address.
    // Looked up at each request, because a process may replace the global fetch later.
    const send: typeof fetch = options.fetch ?? ((...args) => fetch(...args));
    this.#transport = { baseUrl, apiKey, retryForMs, timeoutMs, fetch: send };
  }

  /** Submits a call. Resolves once it is stored, unless `waitSeconds` is set. */
  submit<Result = unknown>(
    upstream: string,
    operation: string,
    input: object,
    options: SubmitOptions & { readonly ifOpen: 'stale' },
  ): Promise<Call<Result> | StaleResult<Result>>;
  submit<Result = unknown>(
    upstream: string,
    operation: string,
    input: object,
    options?: SubmitOptions & { readonly ifOpen?: 'defer' | 'reject' },
  ): Promise<Call<Result>>;
  async submit(
    upstream: string,
    operation: string,
    input: object,
    options: SubmitOptions = {},
  ): Promise<Call | StaleResult> {
    const { idempotencyKey = crypto.randomUUID(), waitSeconds = 0, signal, ...asked } = options;
    const { body } = await sendRequest<Call | StaleResult>(this.#transport, {
      method: 'POST',
      path: `/v1/calls/${encodeURIComponent(upstream)}/${encodeURIComponent(operation)}`,
      body: { input, options: asked },
      idempotencyKey,
      repeatable: true,
      signal,
      heldMs: waitSeconds * 1000,
      ...(waitSeconds > 0 && { headers: { prefer: `wait=${waitSeconds}` } }),
    });
    return body;
  }

  async get<Result = unknown>(id: string, { signal }: Signal = {}): Promise<Call<Result>> {
    return await this.#read<Call<Result>>(id, 0, signal);
  }

  /**
   * Waits until a call has ended, with or without success: check `status`. Throws `WaitTimeoutError` after `timeoutMs`
   * (default: no limit). While the API is unreachable, each poll is retried for `retryForMs`.
   */
  async wait<Result = unknown>(
    id: string,
    { timeoutMs = Number.POSITIVE_INFINITY, signal }: Signal & { readonly timeoutMs?: number } = {},
  ): Promise<Call<Result>> {
    const deadline = performance.now() + timeoutMs;
    let seen: Call<Result> | undefined;
    for (;;) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new WaitTimeoutError(id, timeoutMs, seen);
      // Leaves time for the answer, so that a timeout error has the call's last state.
      const seconds = Math.max(0, Math.min(longestPollSeconds, Math.floor((leftMs - answerMs) / 1000)));
      const polled = this.#poll<Result>(id, seconds, leftMs, signal);
      seen = (await polled) ?? seen;
      if (seen && isFinished(seen)) return seen;
      if (seconds === 0) await rest(Math.min(answerMs, deadline - performance.now()), signal);
    }
  }

  /** Cancels a waiting call. Throws `ProblemError` with status 409 if it is running or has ended otherwise. */
  async cancel(id: string, { signal }: Signal = {}): Promise<Call> {
    const path = `/v1/calls/${encodeURIComponent(id)}`;
    try {
      const request = { method: 'DELETE', path, repeatable: true, signal } as const;
      return (await sendRequest<Call>(this.#transport, request)).body;
    } catch (error) {
      // Our first attempt, whose answer was lost, may have cancelled the call.
      if (!(error instanceof ProblemError && error.status === 409 && error.afterLostAttempt)) throw error;
      const call = await this.get(id, { signal });
      if (call.status === 'cancelled') return call;
      throw error;
    }
  }

  /** Queues a call again that ended without success. A lost answer is not retried. */
  async retry(id: string, { signal }: Signal = {}): Promise<Call> {
    const path = `/v1/calls/${encodeURIComponent(id)}/retry`;
    const request = { method: 'POST', path, body: {}, repeatable: false, signal } as const;
    return (await sendRequest<Call>(this.#transport, request)).body;
  }

  /** Submits up to 1,000 calls in one request. Returns one result per item, in order. */
  async batch(items: readonly BatchItem[], { signal }: Signal = {}): Promise<readonly BatchResult[]> {
    const keyed = items.map(({ idempotencyKey = crypto.randomUUID(), ...item }) => ({
      ...item,
      idempotencyKey,
    }));
    const request = {
      method: 'POST',
      path: '/v1/calls:batch',
      body: { items: keyed },
      repeatable: true,
      signal,
    } as const;
    return (await sendRequest<{ results: readonly BatchResult[] }>(this.#transport, request)).body.results;
  }

  /** Returns one page of calls, newest first. */
  async list(query: ListQuery = {}, { signal }: Signal = {}): Promise<CallPage> {
    const request = { method: 'GET', path: '/v1/calls', query, repeatable: true, signal } as const;
    return (await sendRequest<CallPage>(this.#transport, request)).body;
  }

  /** Long-polls for at most `leftMs`. Returns undefined if there is no answer by then. */
  async #poll<Result>(
    id: string,
    seconds: number,
    leftMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Call<Result> | undefined> {
    if (leftMs === Number.POSITIVE_INFINITY) return await this.#read<Call<Result>>(id, seconds, signal);
    const limit = AbortSignal.timeout(Math.ceil(leftMs));
    try {
      return await this.#read<Call<Result>>(id, seconds, signal ? AbortSignal.any([signal, limit]) : limit);
    } catch (error) {
      signal?.throwIfAborted();
      if (limit.aborted) return undefined;
      throw error;
    }
  }

  async #read<Body>(id: string, waitSeconds: number, signal: AbortSignal | undefined): Promise<Body> {
    const { body } = await sendRequest<Body>(this.#transport, {
      method: 'GET',
      path: `/v1/calls/${encodeURIComponent(id)}`,
      query: { wait: waitSeconds || undefined },
      heldMs: waitSeconds * 1000,
      repeatable: true,
      signal,
    });
    return body;
  }
}
