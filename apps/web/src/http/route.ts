/** What a route is: a handler takes a plain request and returns a plain answer, and knows no framework. */
import type { TraceHeaders } from '@recloser/runtime/observe/tracing';
import type { Scope } from './api-keys.ts';
import type { ProblemCode } from './problem-codes.ts';

export type ApiRequest = {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  /** Value of a header, whatever its case; several of one name are joined by a comma. */
  header(name: string): string | undefined;
  /** The parsed JSON body; undefined when there was none. */
  readonly body: unknown;
  /** Name of the API key; undefined while the API is open. */
  readonly client: string | undefined;
  readonly requestId: string;
  /** What this request's work belongs to: its own span's, or without tracing what came with it. */
  readonly trace: TraceHeaders | undefined;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
};

export type ApiResponse = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a string as it is. */
  readonly body: unknown;
  /** Set on a problem, for log and metrics. */
  readonly problem?: ProblemCode;
  /** Instead of `body`: writes pieces until it resolves or `signal` of the request is aborted. */
  readonly stream?: (write: (piece: string) => void) => Promise<void>;
};

export type Route = {
  readonly method: 'get' | 'post' | 'delete';
  readonly path: string;
  /** What a key must be allowed to do; left out for health, metrics and documentation: no API key needed. */
  readonly scope?: Scope;
  /** Most bytes of a JSON body, as text; left out where there is no body to read. */
  readonly bodyLimit?: string;
  /** Looks at the address alone, before a body is read: a problem, or nothing. */
  readonly check?: (params: Readonly<Record<string, string>>) => ApiResponse | undefined;
  readonly handle: (request: ApiRequest) => Promise<ApiResponse>;
};
