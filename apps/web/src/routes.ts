/** The routes of the web app. */
import { callEvents } from './calls/call-events.ts';
import { getCall } from './calls/get-call.ts';
import { listCalls } from './calls/list-calls.ts';
import { health, live, ready } from './health.ts';
import type { ApiRequest, ApiResponse, Route } from './http/route.ts';
import type { WebDeps } from './http/web-deps.ts';
import { cancelCall, retryOneCall } from './intake/change-call.ts';
import { submitBatch } from './intake/submit-batch.ts';
import { checkTarget, submitCall } from './intake/submit-call.ts';
import { createDocsPages } from './openapi/docs-page.ts';
import { createOpenApi } from './openapi/document.ts';
import { getUpstream, listUpstreams } from './upstreams/get-upstreams.ts';

const callBodyLimit = '100kb';
const batchBodyLimit = '4mb';

type Handler = (request: ApiRequest, deps: WebDeps) => Promise<ApiResponse>;

/** Creates the route table. Routes without a scope need no API key. */
export function createRoutes(deps: WebDeps): readonly Route[] {
  const bind = (handler: Handler) => (request: ApiRequest) => handler(request, deps);
  return [
    {
      method: 'post',
      // Escaped: an unescaped colon would start a parameter.
      path: '/v1/calls\\:batch',
      scope: 'submit',
      bodyLimit: batchBodyLimit,
      handle: bind(submitBatch),
    },
    { method: 'post', path: '/v1/calls/:id/retry', scope: 'operate', handle: bind(retryOneCall) },
    {
      method: 'post',
      path: '/v1/calls/:upstream/:operation',
      scope: 'submit',
      bodyLimit: callBodyLimit,
      check: (params) => checkTarget(params, deps),
      handle: bind(submitCall),
    },
    { method: 'get', path: '/v1/calls', scope: 'read', handle: bind(listCalls) },
    { method: 'get', path: '/v1/calls/:id', scope: 'read', handle: bind(getCall) },
    { method: 'delete', path: '/v1/calls/:id', scope: 'operate', handle: bind(cancelCall) },
    { method: 'get', path: '/v1/calls/:id/events', scope: 'read', handle: bind(callEvents) },
    { method: 'get', path: '/v1/upstreams', scope: 'read', handle: bind(listUpstreams) },
    { method: 'get', path: '/v1/upstreams/:name', scope: 'read', handle: bind(getUpstream) },
    { method: 'get', path: '/health', handle: bind(health) },
    { method: 'get', path: '/health/live', handle: live },
    { method: 'get', path: '/health/ready', handle: bind(ready) },
    ...openRoutes(deps),
  ];
}

/** Metrics and documentation. */
function openRoutes(deps: WebDeps): readonly Route[] {
  const { page, file } = createDocsPages();
  const document = createOpenApi([...deps.upstreams.values()]);
  const text = (body: string, type: string) => ({ status: 200, headers: { 'Content-Type': type }, body });
  return [
    {
      method: 'get',
      path: '/metrics',
      handle: async () => text(await deps.metrics.text(), deps.metrics.contentType),
    },
    { method: 'get', path: '/openapi.json', handle: async () => ({ status: 200, body: document }) },
    { method: 'get', path: '/docs', handle: async () => page },
    { method: 'get', path: '/docs/:file', handle: async ({ params }) => file(params.file ?? '') },
  ];
}
