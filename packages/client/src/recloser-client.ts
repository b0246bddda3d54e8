/**
 * The client: hand calls over, wait for their ends. Uses the global `fetch` and nothing else.
 *
 * Always true: every call handed over has an idempotency key, made here unless given, and a request that is sent
 * again carries the same one; so however often it is tried, the call is made once.
 */
import { type Call, type CallOptions, type CallStatus, isFinished } from './call.ts';
import { ProblemError, WaitTimeoutError } from './errors.ts';
import { rest, sendRequest, type TransportOptions } from './transport.ts';

export type RecloserClientOptions = {
  /** Where web listens: `http://127.0.0.1:3000`. */
  readonly baseUrl: string;
  readonly apiKey?: string;
  /** How long to go on trying while the API is away or asks for patience, ms. Default 60 s; 0: try once. */
  readonly retryForMs?: number;
  /** Longest time for one attempt, ms. Default 10 s. */
  readonly timeoutMs?: number;
  readonly fetch?: typeof fetch;
};

export type SubmitOptions = CallOptions & {
  /** Names this very request; give one to be able to repeat it after a crash of your own. */
  readonly idempotencyKey?: string;
  /** Ask for the finished call right away, at most this long, 30 at the most. */
  readonly waitSeconds?: number;
  readonly signal?: AbortSignal;
};

/** The answer to `ifOpen: 'stale'` when there was an older result and the breaker was not closed. */
export type StaleResult<Result = unknown> = {
  readonly stale: true;
  /** The call that got it. */
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

/** `nextCursor` null: there are no more. A page may be short and not the last. */
export type CallPage = { readonly calls: readonly ListedCall[]; readonly nextCursor: string | null };

/** What became of one item of a batch: `call` when it is kept, `stale` or `problem` otherwise. */
export type BatchResult = {
  readonly index: number;
  /** The HTTP status this item would have had alone. */
  readonly status: number;
  readonly call?: { readonly id: string; readonly status?: CallStatus; readonly replayed: boolean };
  readonly stale?: StaleResult;
  readonly problem?: Readonly<Record<string, unknown>>;
};

type Signal = { readonly signal?: AbortSignal };

/** Longest long poll, as the API has it. */
const longestPollSeconds = 30;
const answerMs = 300;

export class RecloserClient {
  readonly #transport: TransportOptions;

  constructor(options: RecloserClientOptions) {
    const { baseUrl, apiKey, retryForMs = 60_000, timeoutMs = 10_000 } = options;
    // Throws for what is no address, here rather than at the first call.
    new URL(baseUrl);
    // Looked up at each request: a process may put its own fetch in place later.
    const send: typeof fetch = options.fetch ?? ((...args) => fetch(...args));
    this.#transport = { baseUrl, apiKey, retryForMs, timeoutMs, fetch: send };
  }

  /** Hands a call over. Resolves once it is stored; the call may well be waiting. */
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

  /** The call as it stands. */
  async get<Result = unknown>(id: string, { signal }: Signal = {}): Promise<Call<Result>> {
    return await this.#read<Call<Result>>(id, 0, signal);
  }

  /**
   * Waits for the end of a call, whatever it is: look at `status`. Throws `WaitTimeoutError` when it has not come
   * within `timeoutMs` (default: no limit); the call goes on. An API that is away is asked again for `retryForMs`.
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
      // Leaves the answer time to get here, so that a timeout can show the call as it stood.
      const seconds = Math.max(0, Math.min(longestPollSeconds, Math.floor((leftMs - answerMs) / 1000)));
      const polled = this.#poll<Result>(id, seconds, leftMs, signal);
      seen = (await polled) ?? seen;
      if (seen && isFinished(seen)) return seen;
      if (seconds === 0) await rest(Math.min(answerMs, deadline - performance.now()), signal);
    }
  }

  /** Cancels a call that still waits. Throws `ProblemError` with status 409 when it runs or has ended. */
  async cancel(id: string, { signal }: Signal = {}): Promise<Call> {
    const path = `/v1/calls/${encodeURIComponent(id)}`;
    try {
      const request = { method: 'DELETE', path, repeatable: true, signal } as const;
      return (await sendRequest<Call>(this.#transport, request)).body;
    } catch (error) {
      // Our own first attempt, whose answer was lost, may have cancelled it.
      if (!(error instanceof ProblemError && error.status === 409 && error.afterLostAttempt)) throw error;
      const call = await this.get(id, { signal });
      if (call.status === 'cancelled') return call;
      throw error;
    }
  }

  /** Makes a call that ended without success wait again. Not repeated by itself when its answer is lost. */
  async retry(id: string, { signal }: Signal = {}): Promise<Call> {
    const path = `/v1/calls/${encodeURIComponent(id)}/retry`;
    const request = { method: 'POST', path, body: {}, repeatable: false, signal } as const;
    return (await sendRequest<Call>(this.#transport, request)).body;
  }

  /** Hands up to 1,000 calls over at once; one result per item, in their order. */
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

  /** One page of calls, newest first; `cursor` leads to the next. */
  async list(query: ListQuery = {}, { signal }: Signal = {}): Promise<CallPage> {
    const request = { method: 'GET', path: '/v1/calls', query, repeatable: true, signal } as const;
    return (await sendRequest<CallPage>(this.#transport, request)).body;
  }

  /** A long poll that ends in time; undefined when the time is up before there was an answer. */
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
