/**
 * The types of a route. A handler takes a plain request and returns a plain response; it does not depend on Express.
 */
import type { TraceHeaders } from '@recloser/runtime/observe/tracing';
import type { Scope } from './api-keys.ts';
import type { ProblemCode } from './problem-codes.ts';

export type ApiRequest = {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  /** Value of a header, case-insensitive. Repeated headers are joined by a comma. */
  header(name: string): string | undefined;
  /** The parsed JSON body. Undefined if the route reads none. */
  readonly body: unknown;
  /** Name of the API key. Undefined if no keys are configured. */
  readonly client: string | undefined;
  readonly requestId: string;
  /** Trace headers of this request's span. Without tracing, those of the request. */
  readonly trace: TraceHeaders | undefined;
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal;
};

export type ApiResponse = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. A string is sent unchanged. */
  readonly body: unknown;
  /** Set on a problem, for log and metrics. */
  readonly problem?: ProblemCode;
  /** Replaces `body`: writes chunks until it resolves or the request's `signal` is aborted. */
  readonly stream?: (write: (piece: string) => void) => Promise<void>;
};

export type Route = {
  readonly method: 'get' | 'post' | 'delete';
  readonly path: string;
  /** The scope that the API key needs. Without one, the route is public: health, metrics, documentation. */
  readonly scope?: Scope;
  /** Maximum size of the JSON body, such as `100kb`. Without one, no body is read. */
  readonly bodyLimit?: string;
  /** Checks the path parameters before the body is read. Returns a problem or undefined. */
  readonly check?: (params: Readonly<Record<string, string>>) => ApiResponse | undefined;
  readonly handle: (request: ApiRequest) => Promise<ApiResponse>;
};
