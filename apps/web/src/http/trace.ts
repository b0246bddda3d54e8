/**
 * The trace of a request: its span, that of storing a call, and the W3C headers that came with it.
 *
 * Always true: a span knows the route's pattern, never the path; without tracing the headers go on as they came.
 */
import type { EnqueueResult } from '@recloser/calls/write/enqueue';
import { parseTraceparent } from '@recloser/runtime/observe/traceparent';
import { noTracing, type Span, type TraceHeaders, type Tracing } from '@recloser/runtime/observe/tracing';
import type { Request } from 'express';
import type { ApiRequest } from './route.ts';

/** The trace headers, when they are well formed; undefined otherwise. */
export function traceHeaders(request: Pick<ApiRequest, 'header'>): Record<string, string> | undefined {
  const traceparent = request.header('traceparent');
  if (traceparent === undefined || !parseTraceparent(traceparent)) return undefined;
  const tracestate = request.header('tracestate');
  const usable = tracestate !== undefined && /^[\x20-\x7e]{1,512}$/.test(tracestate);
  return { traceparent, ...(usable && { tracestate }) };
}

type Deps = { readonly tracing?: Tracing };

/** Begins the span of a request. */
export function traceRequest({ tracing = noTracing }: Deps, request: Request, route: string): Span {
  const { method } = request;
  return tracing.span({
    name: `${method} ${route}`,
    kind: 'server',
    parent: traceHeaders({ header: (name) => request.get(name) }),
    attributes: { 'http.request.method': method, 'http.route': route, 'url.scheme': request.protocol },
  });
}

/** Ends it with the status of the answer. */
export function endRequest(span: Span, status: number): void {
  span.set({ 'http.response.status_code': status });
  if (status >= 500) span.fail(String(status));
  span.end();
}

/** Begins the span of storing a call. Its headers are what the call's turns will belong, or be linked, to. */
export function traceStoring(
  { tracing = noTracing }: Deps,
  parent: TraceHeaders | undefined,
  upstream: string,
  operation: string,
): Span {
  return tracing.span({
    name: `send ${upstream}`,
    kind: 'producer',
    parent,
    attributes: {
      'messaging.system': 'bullmq',
      'messaging.operation.type': 'send',
      'messaging.operation.name': 'add',
      'messaging.destination.name': upstream,
      'recloser.operation': operation,
    },
  });
}

/** Ends it with what came of it. */
export function endStoring(span: Span, result: EnqueueResult): void {
  if ('id' in result) span.set({ 'messaging.message.id': result.id });
  if (result.kind === 'stored') span.set({ 'recloser.replayed': result.replayed });
  else span.fail(result.kind);
  span.end();
}
