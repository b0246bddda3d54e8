/** W3C trace context of a request, to be passed on to the upstream. */
import type { ApiRequest } from './route.ts';

/** The trace headers, when they are well formed; undefined otherwise. */
export function traceHeaders(request: Pick<ApiRequest, 'header'>): Record<string, string> | undefined {
  const traceparent = request.header('traceparent');
  if (traceparent === undefined || !/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent))
    return undefined;
  const tracestate = request.header('tracestate');
  const usable = tracestate !== undefined && /^[\x20-\x7e]{1,512}$/.test(tracestate);
  return { traceparent, ...(usable && { tracestate }) };
}
