/**
 * The simulator's control API: faults, settings and the ledger, over JSON. For loopback; it has no login.
 *
 *     GET    /control                         names of the upstreams
 *     GET    /control/:upstream               {faults, fired, held, counts, settings}
 *     PUT    /control/:upstream/faults        {faults: Fault[], seed?} replaces the plan,
 *                                             releases whoever the old one held
 *     DELETE /control/:upstream/faults        no more faults, nobody held
 *     POST   /control/:upstream/release       {count?} lets the oldest held requests go on, all unless given
 *     PUT    /control/:upstream/settings      a partial change, e.g. {duplicates: 'update-in-place'}
 *     POST   /control/:upstream/expire        {style: '401'|'403'|'302'|'html'} ends every session; the
 *                                             signed-out are answered in that style until the next reset
 *     POST   /control/:upstream/reset         {settings?: true} forgets faults, ledger, visits and sessions
 *                                             (and, if asked, the settings); breaks what still hangs
 *     GET    /control/:upstream/ledger        {visits, visitsByItem, …, requests, logins, smsSent, maxInFlight,
 *                                             held}
 *
 * A fault has a `kind`: `status {status, retryAfterSeconds?}` · `latency {ms}` · `gate` (held until
 * released, then goes on) · `reset` · `hang {ms?}` (then
 * reset; without ms until the client leaves) · `html {status?}` · `empty` · `truncate {abort?}` (abort: breaks
 * the connection in mid-body) · `bad-json` · `not-ok` (Crossmark only) · `expired {style}` · `late-commit {ms}`
 * (does the work ms after the client gave up) · `capacity {limit, status}` (at most `limit` worked on at once) ·
 * `rate {perSecond, status, retryAfterSeconds?}`. All take `operation?` (`schedule-event`, …, `login`),
 * `signedIn?` (only requests whose session lives, or is over), `probability?` (seeded), `times?`; all but the last three take `afterApply?`: do the work, then fail.
 *
 * Always true: 404 for an unknown upstream; 422 problem+json with one entry per bad field, and then nothing
 * has changed; passwords are never shown.
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
      else sendProblem(res, { status: 404, code: 'upstream_unknown', title: 'There is no such upstream' });
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
    sendProblem(res, { status: 404, code: 'not_found', title: 'There is no such control' }),
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

/** The parsed body, or undefined after the refusal has been sent. `absent` stands in for no body at all. */
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
  sendProblem(res, { status: 422, code: 'invalid', title: 'The request has bad fields', errors });
}

type Problem = { status: number; code: string; title: string; errors?: readonly object[] };

function sendProblem(res: Response, problem: Problem): void {
  res.status(problem.status).type('application/problem+json');
  res.send(JSON.stringify({ type: `urn:recloser:simulator:${problem.code}`, ...problem }));
}

/** Express knows an error handler by its four parameters. */
function malformed(error: { status?: number }, _req: Request, res: Response, _next: NextFunction): void {
  if (res.destroyed) return;
  const tooLarge = { status: 413, code: 'too_large', title: 'The body is too large' };
  const unreadable = { status: 400, code: 'malformed', title: 'The body is not readable JSON' };
  const bug = { status: 500, code: 'internal', title: 'The simulator failed' };
  sendProblem(res, error.status === 413 ? tooLarge : error.status === 400 ? unreadable : bug);
}
