/**
 * The simulator as one Express app. Each upstream in the registry is at `/<name>`, and at `/<name>-login` if its sign-in
 * is on another host. The control API is at `/control`.
 */
import type { SimulatedRoute, Simulation } from '@recloser/upstreams/simulation/simulation';
import { simulations } from '@recloser/upstreams/simulations';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { createControl } from './control.ts';
import { exchange } from './exchange.ts';
import { parseRequest } from './parse-request.ts';
import { Upstream } from './upstream.ts';

export type SimulatorLog = { error(object: object, message: string): void };

export type SimulatorOptions = {
  /** Milliseconds since the epoch. Tests move it to age sessions and codes. Default: `Date.now`. */
  readonly now?: () => number;
  readonly log?: SimulatorLog;
};

/** A simulator that does not listen yet. */
export type Simulator = {
  readonly app: Express;
  /** By name, for tests that run the simulator in their own process. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** Resets the connections of requests that hang, so that the server can close. Idempotent. */
  stop(): void;
};

export function createSimulator({ now = Date.now, log }: SimulatorOptions = {}): Simulator {
  const upstreams = new Map(
    Object.entries(simulations).map(([name, create]) => [name, new Upstream(name, create({ now }), now)]),
  );
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use('/control', createControl(upstreams));
  app.get('/health/live', (_req, res) => void res.json({ status: 'pass' }));
  app.use(express.raw({ type: () => true, limit: '1mb' }));
  for (const upstream of upstreams.values()) {
    app.use(`/${upstream.name}`, serve(upstream, 'main'));
    if (upstream.simulation.hasLoginHost) app.use(`/${upstream.name}-login`, serve(upstream, 'login'));
  }
  // A request whose body did not arrive completely is not in the ledger.
  app.use((error: Error & { status?: number }, _req: Request, res: Response, _next: NextFunction) => {
    if (error.status === undefined) log?.error({ err: error }, 'simulation of a request failed');
    if (!res.destroyed && !res.headersSent) res.status(error.status ?? 500).end();
  });
  const stop = () => {
    for (const upstream of upstreams.values()) upstream.interrupt();
  };
  return { app, upstreams, stop };
}

function serve(upstream: Upstream, mount: SimulatedRoute['mount']) {
  return async (req: Request, res: Response): Promise<void> => {
    const path = req.path.replace(/\/{2,}/g, '/');
    const request = parseRequest(req, path, loginUrl(req, upstream.name, upstream.simulation));
    await exchange(upstream, upstream.route(mount, req.method, path), request, res);
  };
}

function loginUrl(req: Request, name: string, { hasLoginHost }: Simulation): string {
  return `http://${req.headers.host ?? 'localhost'}/${name}${hasLoginHost ? '-login' : ''}`;
}
