/**
 * `POST /api/upstreams/{name}/retries/count`, `…/retries` and `…/retries/stop`: retries failed calls in batches.
 * Start and stop need a reason and are recorded before they run.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { AuditLog } from '../access/audit.ts';
import { invalidBody } from '../page/field-errors.ts';
import { problemOf, problems, sendProblem } from '../page/problem.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { userOf } from '../user/sessions.ts';
import { filterInWords, findFailed, retryFilterSchema } from './retry-filter.ts';
import { endRetryRun, isGoing, readRetryRun, startRetryRun } from './retry-run.ts';

/** Dependencies of the handlers. */
export type RetryDeps = {
  readonly redis: Redis;
  readonly audit: AuditLog;
  readonly upstreams: readonly AdminUpstream[];
};

const reason = z.string().trim().min(1, 'Enter a reason.').max(500);
const filter = retryFilterSchema.prefault({});
const countBody = z.strictObject({ filter });
const startBody = z.strictObject({ filter, reason, perMinute: z.int().min(1).max(6_000) });
const stopBody = z.strictObject({ reason });

/** Counts the calls that match a filter. */
export function countRetries({ redis, upstreams }: RetryDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const upstream = find(upstreams, req, res);
    const body = countBody.safeParse(req.body ?? {});
    if (upstream === null) return;
    if (!body.success) return sendProblem(res, invalidBody(body.error.issues));
    const { ids, ...matches } = await findFailed(redis, upstream, body.data.filter);
    res.json({ count: ids.length, ...matches });
  };
}

/** Starts a run and returns 202 with it. Returns 409 while another run is in progress or when no call matches. */
export function startRetries({ redis, audit, upstreams }: RetryDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    const upstream = find(upstreams, req, res);
    const body = startBody.safeParse(req.body ?? {});
    if (upstream === null || user === null) return;
    if (!body.success) return sendProblem(res, invalidBody(body.error.issues));
    const { filter: wanted, perMinute, reason: why } = body.data;
    const source = { redis, root: upstream.root };
    const going = await readRetryRun(source);
    if (isGoing(going)) return conflict(res, 'A retry run is in progress. Stop it, or wait until it ends.');
    const { ids } = await findFailed(redis, upstream, wanted);
    if (ids.length === 0) return conflict(res, 'No failed call matches. No run was started.');
    const words = filterInWords(wanted);
    const entry = {
      user: user.name,
      role: user.role,
      action: 'retry run',
      target: upstream.definition.name,
      reason: `${why} (${ids.length} calls: ${words}; ${perMinute} per minute)`,
    };
    const run = {
      id: randomUUID(),
      by: user.name,
      reason: why,
      filter: words,
      perMinute,
      total: ids.length,
      startedAt: Date.now(),
    };
    const started = await audit.around(entry, () => startRetryRun(source, run, ids));
    if (!started) return conflict(res, 'Another run has just been started.');
    res.status(202).json(await readRetryRun(source));
  };
}

/** Stops the run. Retried calls stay retried, the others stay failed. */
export function stopRetries({ redis, audit, upstreams }: RetryDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    const upstream = find(upstreams, req, res);
    const body = stopBody.safeParse(req.body ?? {});
    if (upstream === null || user === null) return;
    if (!body.success) return sendProblem(res, invalidBody(body.error.issues));
    const source = { redis, root: upstream.root };
    if (!isGoing(await readRetryRun(source))) return conflict(res, 'No retry run is in progress.');
    const { name: target } = upstream.definition;
    const entry = {
      user: user.name,
      role: user.role,
      action: 'retry stop',
      target,
      reason: body.data.reason,
    };
    await audit.around(entry, () =>
      endRetryRun(source, 'stopped', `stopped by ${user.name}: ${body.data.reason}`),
    );
    res.json(await readRetryRun(source));
  };
}

function find(upstreams: readonly AdminUpstream[], req: Request, res: Response): AdminUpstream | null {
  const found = upstreams.find(({ definition }) => definition.name === req.params.name);
  if (found === undefined) sendProblem(res, problemOf(problems.notFound, 'Unknown upstream.'));
  return found ?? null;
}

function conflict(res: Response, detail: string): void {
  sendProblem(res, problemOf(problems.conflict, detail));
}
