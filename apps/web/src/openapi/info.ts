/** The part of the OpenAPI document about upstreams, health, metrics and the document itself. */
import { json, problemRefs } from './parts.ts';

type Json = Record<string, unknown>;

const open: Json = { security: [] };

/** Addresses that tell of the system, not of a call. */
export function infoPaths(): Json {
  return {
    '/v1/upstreams': {
      get: {
        operationId: 'list-upstreams',
        tags: ['upstreams'],
        summary: 'All upstreams: breaker, holds, queue and workers.',
        responses: {
          '200': { description: 'The upstreams.', content: json('UpstreamList') },
          ...problemRefs(400, 401, 403, 429, 500, 503),
        },
      },
    },
    '/v1/upstreams/{name}': {
      get: {
        operationId: 'get-upstream',
        tags: ['upstreams'],
        summary: 'One upstream.',
        parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' } }],
        responses: {
          '200': { description: 'The upstream.', content: json('Upstream') },
          ...problemRefs(400, 401, 403, 404, 429, 500, 503),
        },
      },
    },
    '/health': { get: health('health', 'Every part. An open breaker is `warn`.') },
    '/health/live': { get: health('health-live', 'The event loop turns.') },
    '/health/ready': { get: health('health-ready', 'Calls can be kept: Redis is reachable and safe.') },
    '/metrics': { get: page('metrics', 'Metrics for Prometheus.', 'text/plain') },
    '/openapi.json': { get: page('openapi', 'This document.', 'application/json') },
    '/docs': { get: page('docs', 'This document, to be read by people.', 'text/html') },
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
      '200': { description: 'Passed, perhaps with warnings.', content },
      '503': { description: 'Failed.', content },
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
