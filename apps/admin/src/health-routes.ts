/** Health and metrics routes. They need no login and contain nothing about calls or people. */

import type { Metrics } from '@recloser/runtime/observe/metrics';
import { healthBody, healthContentType, healthHttpStatus } from '@recloser/runtime/process/health';
import type { Redis } from '@recloser/runtime/redis/connection';
import { checkRedisSafety } from '@recloser/runtime/redis/safety';
import express, { type Router } from 'express';

/** GET /health/live (event loop only), /health/ready (Redis can be reached), /metrics. */
export function healthRoutes({ redis, metrics }: { redis: Redis; metrics: Metrics }): Router {
  const router = express.Router();
  router.get('/health/live', (_req, res) => {
    res.type(healthContentType).send(JSON.stringify(healthBody([{ name: 'process', status: 'pass' }])));
  });
  router.get('/health/ready', async (_req, res) => {
    const found = await checkRedisSafety(redis);
    // An unsafe Redis can still be inspected, so only an unreachable Redis fails this check.
    const status = found.reachable ? (found.safe ? 'pass' : 'warn') : 'fail';
    const output = [...found.problems, ...found.warnings].join('; ');
    const body = healthBody([{ name: 'redis:connection', status, ...(output === '' ? {} : { output }) }]);
    res.status(healthHttpStatus(body.status)).type(healthContentType).send(JSON.stringify(body));
  });
  router.get('/metrics', async (_req, res) => {
    res.set('Content-Type', metrics.contentType).send(await metrics.text());
  });
  return router;
}
