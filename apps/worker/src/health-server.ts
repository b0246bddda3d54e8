/**
 * The worker's HTTP endpoints for probes and Prometheus. `/health/live` has no dependencies and fails only if the event
 * loop hangs. `/health/ready` is 200 only while Redis answers, every fetch loop runs or is paused, and the worker is not
 * stopping.
 */
import type { Metrics } from '@recloser/runtime/observe/metrics';
import {
  type HealthCheck,
  healthBody,
  healthContentType,
  healthHttpStatus,
} from '@recloser/runtime/process/health';
import express, { type Express } from 'express';

export type HealthApp = {
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
  /** Redis and fetch loops. Must settle within 2 s. */
  readonly readiness: () => Promise<readonly HealthCheck[]>;
  /** Checks that only `/health` shows, such as breakers. */
  readonly details: () => readonly HealthCheck[];
  readonly stop: { readonly quiet: boolean };
};

export function createHealthApp({ metrics, readiness, details, stop }: HealthApp): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/health/live', (_request, response) => {
    response.json({ status: 'pass' });
  });
  app.get('/health/ready', async (_request, response) => {
    const body = healthBody([...stopping(stop), ...(await readiness())]);
    response.status(healthHttpStatus(body.status)).type(healthContentType).send(JSON.stringify(body));
  });
  app.get('/health', async (_request, response) => {
    const body = healthBody([...stopping(stop), ...(await readiness()), ...details()]);
    response.status(healthHttpStatus(body.status)).type(healthContentType).send(JSON.stringify(body));
  });
  app.get('/metrics', async (_request, response) => {
    response.type(metrics.contentType).send(await metrics.text());
  });
  return app;
}

function stopping({ quiet }: HealthApp['stop']): readonly HealthCheck[] {
  return quiet ? [{ name: 'worker', status: 'fail', output: 'The worker is stopping.' }] : [];
}
