/** Every route of the web app. */
import { getCall } from './get-call.ts';
import { getUpstream, listUpstreams } from './get-upstreams.ts';
import { health, live, ready } from './health.ts';
import type { ApiRequest, ApiResponse, Route } from './route.ts';
import { checkTarget, submitCall } from './submit-call.ts';
import type { WebDeps } from './web-deps.ts';

/** The table. `open` routes need no API key. */
export function createRoutes(deps: WebDeps): readonly Route[] {
  const bind =
    (handler: (request: ApiRequest, deps: WebDeps) => Promise<ApiResponse>) => (request: ApiRequest) =>
      handler(request, deps);
  const metrics = async (): Promise<ApiResponse> => ({
    status: 200,
    headers: { 'Content-Type': deps.metrics.contentType },
    body: await deps.metrics.text(),
  });
  return [
    {
      method: 'post',
      path: '/v1/calls/:upstream/:operation',
      check: (params) => checkTarget(params, deps),
      handle: bind(submitCall),
    },
    { method: 'get', path: '/v1/calls/:id', handle: bind(getCall) },
    { method: 'get', path: '/v1/upstreams', handle: bind(listUpstreams) },
    { method: 'get', path: '/v1/upstreams/:name', handle: bind(getUpstream) },
    { method: 'get', path: '/health', open: true, handle: bind(health) },
    { method: 'get', path: '/health/live', open: true, handle: live },
    { method: 'get', path: '/health/ready', open: true, handle: bind(ready) },
    { method: 'get', path: '/metrics', open: true, handle: metrics },
  ];
}
