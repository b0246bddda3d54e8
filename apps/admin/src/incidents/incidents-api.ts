/** The outage ledger as JSON. `?download` returns it as a file. Times are ISO 8601. */
import type { Redis } from '@recloser/runtime/redis/connection';
import { isoTime } from '@recloser/runtime/values/iso-time';
import type { Request, Response } from 'express';
import { problemOf, problems, sendProblem } from '../page/problem.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { CallEnds, type IncidentCalls } from './incident-calls.ts';
import { type Incident, incidentsOf } from './incidents.ts';

/** An incident of one upstream with its counts of calls. */
export type LedgerEntry = {
  readonly upstream: string;
  readonly title: string;
  readonly incident: Incident;
  readonly calls: IncidentCalls;
};

const mostPerUpstream = 50;

/** Reads the incidents of these upstreams, newest first; only the one with `id` if given. */
export async function readLedger(
  redis: Redis,
  upstreams: readonly AdminUpstream[],
  id?: string,
): Promise<LedgerEntry[]> {
  const entries = await Promise.all(
    upstreams.map(async (upstream) => {
      const all = incidentsOf(await upstream.transitions.read());
      const incidents = all.filter((one) => id === undefined || one.id === id).slice(0, mostPerUpstream);
      const oldest = incidents.at(-1);
      if (oldest === undefined) return [];
      const ends = await CallEnds.read(redis, upstream, oldest.openedAt);
      const { name, title } = upstream.definition;
      return incidents.map((incident) => ({ upstream: name, title, incident, calls: ends.of(incident) }));
    }),
  );
  return entries.flat().sort((a, b) => b.incident.openedAt - a.incident.openedAt);
}

/** Reads one incident; undefined when it does not exist. */
export async function readLedgerEntry(
  redis: Redis,
  upstreams: readonly AdminUpstream[],
  name: unknown,
  id: unknown,
): Promise<LedgerEntry | undefined> {
  const upstream = upstreams.find(({ definition }) => definition.name === name);
  if (upstream === undefined || typeof id !== 'string') return undefined;
  return (await readLedger(redis, [upstream], id))[0];
}

/** `GET /api/incidents`. */
export function listIncidents(redis: Redis, upstreams: readonly AdminUpstream[]) {
  return async (req: Request, res: Response): Promise<void> => {
    const incidents = (await readLedger(redis, upstreams)).map(entryJson);
    send(req, res, 'incidents', { incidents });
  };
}

/** `GET /api/incidents/{name}/{id}`. */
export function getIncident(redis: Redis, upstreams: readonly AdminUpstream[]) {
  return async (req: Request, res: Response): Promise<void> => {
    const entry = await readLedgerEntry(redis, upstreams, req.params.name, req.params.id);
    if (entry === undefined) {
      return sendProblem(
        res,
        problemOf(problems.notFound, 'Unknown incident. Only the newest entries are kept.'),
      );
    }
    send(req, res, `incident-${entry.upstream}-${entry.incident.id}`, entryJson(entry));
  };
}

function send(req: Request, res: Response, file: string, body: unknown): void {
  if ('download' in req.query) res.attachment(`${file}.json`);
  res.type('application/json').send(JSON.stringify(body, null, 2));
}

function entryJson({ upstream, incident, calls }: LedgerEntry): unknown {
  const { id, openedAt, closedAt, rampFrom, steps, evidence, ...rest } = incident;
  return {
    id,
    upstream,
    openedAt: isoTime(openedAt),
    closedAt: isoTime(closedAt),
    durationSeconds: closedAt === null ? null : Math.round((closedAt - openedAt) / 1000),
    ...rest,
    rampSeconds: closedAt === null || rampFrom === null ? null : Math.round((closedAt - rampFrom) / 1000),
    evidence: evidence.map((seen) => ({ ...seen, at: isoTime(seen.at) })),
    calls: { ...calls, drainedAt: isoTime(calls.drainedAt) },
    steps: steps.map((step) => ({ ...step, at: isoTime(step.at) })),
    links: { self: `/api/incidents/${upstream}/${id}`, page: `/incidents/${upstream}/${id}` },
  };
}
