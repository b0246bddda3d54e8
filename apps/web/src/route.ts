/** What a route is: a handler takes a plain request and returns a plain answer, and knows no framework. */
import type { ProblemCode } from './problem.ts';

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
};

export type Route = {
  readonly method: 'get' | 'post';
  readonly path: string;
  /** True for health and metrics: no API key needed. */
  readonly open?: boolean;
  /** Looks at the address alone, before a body is read: a problem, or nothing. */
  readonly check?: (params: Readonly<Record<string, string>>) => ApiResponse | undefined;
  readonly handle: (request: ApiRequest) => Promise<ApiResponse>;
};
