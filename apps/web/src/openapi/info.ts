/** The part of the OpenAPI document for upstreams, health, metrics and the documentation. */
import { json, problemRefs } from './parts.ts';

type Json = Record<string, unknown>;

const open: Json = { security: [] };

/** Paths that describe the system rather than a call. */
export function infoPaths(): Json {
  return {
    '/v1/upstreams': {
      get: {
        operationId: 'list-upstreams',
        tags: ['upstreams'],
        summary: 'List upstreams',
        description: 'Returns the breaker, holds, queue and workers of every upstream.',
        responses: {
          '200': { description: 'All upstreams.', content: json('UpstreamList') },
          ...problemRefs(400, 401, 403, 429, 500, 503),
        },
      },
    },
    '/v1/upstreams/{name}': {
      get: {
        operationId: 'get-upstream',
        tags: ['upstreams'],
        summary: 'Get an upstream',
        description: 'Returns the breaker, holds, queue and workers of one upstream.',
        parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' } }],
        responses: {
          '200': { description: 'The upstream.', content: json('Upstream') },
          ...problemRefs(400, 401, 403, 404, 429, 500, 503),
        },
      },
    },
    '/health': {
      get: health(
        'health',
        'Health of Redis and of every upstream. An open breaker is a warning, never a failure.',
      ),
    },
    '/health/live': { get: health('health-live', 'Liveness: the process responds.') },
    '/health/ready': {
      get: health('health-ready', 'Readiness: Redis is reachable and can store calls safely.'),
    },
    '/metrics': { get: page('metrics', 'Metrics in the Prometheus text format.', 'text/plain') },
    '/openapi.json': { get: page('openapi', 'This document.', 'application/json') },
    '/docs': { get: page('docs', 'This document as a web page.', 'text/html') },
  };
}

function health(operationId: string, summary: string): Json {
  const content = json('Health', 'application/health+json');
  return {
    ...open,
    operationId,
    tags: ['operation'],
    summary,
    responses: {
      '200': { description: 'Healthy, possibly with warnings.', content },
      '503': { description: 'Unhealthy.', content },
      ...problemRefs(400),
    },
  };
}

function page(operationId: string, summary: string, type: string): Json {
  const schema = { type: type === 'application/json' ? 'object' : 'string' };
  const ok = { description: summary, content: { [type]: { schema } } };
  return {
    ...open,
    operationId,
    tags: ['operation'],
    summary,
    responses: { '200': ok, ...problemRefs(400, 500) },
  };
}
