/**
 * The simulator's control API: faults, settings and the ledger as JSON. It has no login, so it must listen on loopback
 * only. docs/simulator.md describes each endpoint and fault. A rejected request changes nothing.
 */
import { expiryStyles } from '@recloser/upstreams/simulation/simulation';
import express, { type NextFunction, type Request, type Response, type Router } from 'express';
import { z } from 'zod';
import type { Upstream } from './upstream.ts';

const expireSchema = z.strictObject({ style: z.enum(expiryStyles) });
const releaseSchema = z.strictObject({ count: z.int().min(1).optional() });
const resetSchema = z.strictObject({ settings: z.boolean().optional() });

/** The router to mount at `/control`. */
export function createControl(upstreams: ReadonlyMap<string, Upstream>): Router {
  const router = express.Router();
  const at = (handler: (upstream: Upstream, req: Request, res: Response) => void) => {
    return (req: Request, res: Response) => {
      const upstream = upstreams.get(String(req.params.upstream));
      if (upstream) handler(upstream, req, res);
      else
        sendProblem(res, {
          status: 404,
          code: 'upstream_unknown',
          title: 'Unknown upstream. GET /control lists all upstreams',
        });
    };
  };
  router.use(express.json({ type: () => true, limit: '1mb', strict: false }));
  router.get('/', (_req, res) => void res.json({ upstreams: [...upstreams.keys()] }));
  router.get('/:upstream', at(showState));
  router.get('/:upstream/ledger', at(showLedger));
  router.put('/:upstream/faults', at(replaceFaults));
  router.delete('/:upstream/faults', at(clearFaults));
  router.post('/:upstream/release', at(release));
  router.put('/:upstream/settings', at(changeSettings));
  router.post('/:upstream/expire', at(expire));
  router.post('/:upstream/reset', at(reset));
  router.use((_req: Request, res: Response) =>
    sendProblem(res, { status: 404, code: 'not_found', title: 'Unknown endpoint' }),
  );
  router.use(malformed);
  return router;
}

function showState({ faults, ledger, simulation }: Upstream, _req: Request, res: Response): void {
  const { password: _, ...settings } = simulation.settings;
  res.json({ ...faults.view(), counts: { ...ledger.counts(), inFlight: ledger.inFlight }, settings });
}

function showLedger({ faults, ledger, simulation }: Upstream, _req: Request, res: Response): void {
  const requests = ledger.requests();
  const { maxInFlight, inFlight, dropped } = ledger;
  res.json({ ...simulation.facts(), requests, maxInFlight, inFlight, held: faults.gate.held, dropped });
}

function replaceFaults(upstream: Upstream, req: Request, res: Response): void {
  const schema = z.strictObject({
    faults: z.array(upstream.faultSchema).max(100),
    seed: z.int().min(0).max(0xffffffff).optional(),
  });
  const plan = parseBody(schema, req, res);
  if (!plan) return;
  upstream.faults.replace(plan.faults, plan.seed);
  res.json(upstream.faults.view());
}

function clearFaults(upstream: Upstream, _req: Request, res: Response): void {
  upstream.faults.replace([]);
  res.json(upstream.faults.view());
}

function release({ faults }: Upstream, req: Request, res: Response): void {
  const body = parseBody(releaseSchema, req, res, {});
  if (!body) return;
  res.json({ released: faults.gate.release(body.count), held: faults.gate.held });
}

function changeSettings({ simulation }: Upstream, req: Request, res: Response): void {
  const issues = simulation.change(req.body);
  if (issues.length > 0) {
    sendInvalid(res, issues);
    return;
  }
  const { password: _, ...settings } = simulation.settings;
  res.json({ settings });
}

function expire({ simulation }: Upstream, req: Request, res: Response): void {
  const body = parseBody(expireSchema, req, res);
  if (!body) return;
  simulation.expire(body.style);
  res.status(204).end();
}

function reset(upstream: Upstream, req: Request, res: Response): void {
  const body = parseBody(resetSchema, req, res, {});
  if (!body) return;
  upstream.reset();
  if (body.settings) upstream.simulation.restoreSettings();
  res.status(204).end();
}

/** Returns the parsed body, or undefined after sending a 422. `absent` is the value of a missing body. */
function parseBody<T extends z.ZodType>(
  schema: T,
  req: Request,
  res: Response,
  absent?: unknown,
): z.output<T> | undefined {
  const parsed = schema.safeParse(req.body ?? absent);
  if (parsed.success) return parsed.data;
  sendInvalid(res, parsed.error.issues);
  return undefined;
}

function sendInvalid(res: Response, issues: readonly z.core.$ZodIssue[]): void {
  const errors = issues.flatMap((issue) => {
    const pointer = (path: PropertyKey[]) => path.map((part) => `/${String(part)}`).join('');
    if (issue.code !== 'unrecognized_keys') return [{ pointer: pointer(issue.path), detail: issue.message }];
    return issue.keys.map((key) => ({ pointer: pointer([...issue.path, key]), detail: 'Unknown field' }));
  });
  sendProblem(res, { status: 422, code: 'invalid', title: 'The request has invalid fields', errors });
}

type Problem = { status: number; code: string; title: string; errors?: readonly object[] };

function sendProblem(res: Response, problem: Problem): void {
  res.status(problem.status).type('application/problem+json');
  res.send(JSON.stringify({ type: `urn:recloser:simulator:${problem.code}`, ...problem }));
}

/** Express recognizes an error handler by its four parameters. */
function malformed(error: { status?: number }, _req: Request, res: Response, _next: NextFunction): void {
  if (res.destroyed) return;
  const tooLarge = { status: 413, code: 'too_large', title: 'The body is too large' };
  const unreadable = { status: 400, code: 'malformed', title: 'The body is not valid JSON' };
  const bug = { status: 500, code: 'internal', title: 'Internal error' };
  sendProblem(res, error.status === 413 ? tooLarge : error.status === 400 ? unreadable : bug);
}
