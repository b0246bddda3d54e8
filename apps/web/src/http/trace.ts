/**
 * Spans of requests and of storing calls. A span contains the pattern of the route, never the path. Without tracing,
 * the W3C trace headers are passed on unchanged.
 */
import type { EnqueueResult } from '@recloser/calls/write/enqueue';
import { parseTraceparent } from '@recloser/runtime/observe/traceparent';
import { noTracing, type Span, type TraceHeaders, type Tracing } from '@recloser/runtime/observe/tracing';
import type { Request } from 'express';
import type { ApiRequest } from './route.ts';

/** The W3C trace headers. Undefined if they are missing or malformed. */
export function traceHeaders(request: Pick<ApiRequest, 'header'>): Record<string, string> | undefined {
  const traceparent = request.header('traceparent');
  if (traceparent === undefined || !parseTraceparent(traceparent)) return undefined;
  const tracestate = request.header('tracestate');
  const usable = tracestate !== undefined && /^[\x20-\x7e]{1,512}$/.test(tracestate);
  return { traceparent, ...(usable && { tracestate }) };
}

type Deps = { readonly tracing?: Tracing };

/** Starts the span of a request. */
export function traceRequest({ tracing = noTracing }: Deps, request: Request, route: string): Span {
  const { method } = request;
  return tracing.span({
    name: `${method} ${route}`,
    kind: 'server',
    parent: traceHeaders({ header: (name) => request.get(name) }),
    attributes: { 'http.request.method': method, 'http.route': route, 'url.scheme': request.protocol },
  });
}

/** Ends the span of a request. */
export function endRequest(span: Span, status: number): void {
  span.set({ 'http.response.status_code': status });
  if (status >= 500) span.fail(String(status));
  span.end();
}

/** Starts the span of storing a call. Its headers become the parent, or link, of the worker's spans. */
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

/** Ends the span of storing a call. */
export function endStoring(span: Span, result: EnqueueResult): void {
  if ('id' in result) span.set({ 'messaging.message.id': result.id });
  if (result.kind === 'stored') span.set({ 'recloser.replayed': result.replayed });
  else span.fail(result.kind);
  span.end();
}
