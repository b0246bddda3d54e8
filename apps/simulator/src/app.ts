/**
 * The simulator as one Express app: every upstream of the registry at `/<name>` (and `/<name>-login` where
 * sign-in lives on another host), the control API at `/control`.
 *
 * Always true: it never listens by itself; two simulators share nothing.
 */
import type { SimulatedRoute, Simulation } from '@recloser/upstreams/simulation/simulation';
import { simulations } from '@recloser/upstreams/simulations';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { createControl } from './control.ts';
import { exchange } from './exchange.ts';
import { parseRequest } from './parse-request.ts';
import { Upstream } from './upstream.ts';

/** The few methods of a logger that are used here. */
export type SimulatorLog = { error(object: object, message: string): void };

/** What a simulator is made from; everything has a default. */
export type SimulatorOptions = {
  /** Milliseconds since the epoch; tests move it to age sessions and codes. */
  readonly now?: () => number;
  readonly log?: SimulatorLog;
};

/** A simulator that does not listen yet. */
export type Simulator = {
  readonly app: Express;
  /** By name, for tests that run it in their own process. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** Breaks what still hangs, so that the server can close. Safe to call twice. */
  stop(): void;
};

/** Makes a simulator with fresh state. */
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
  // A body the client did not finish sending never became a request, so the ledger does not have it.
  app.use((error: Error & { status?: number }, _req: Request, res: Response, _next: NextFunction) => {
    if (error.status === undefined) log?.error({ err: error }, 'a request could not be simulated');
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
