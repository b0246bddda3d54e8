/**
 * `GET /v1/calls?upstream=&status=&cursor=&limit=`: lists calls, newest first, without results and histories. A page
 * may contain fewer than `limit` calls. Only `nextCursor: null` marks the last page.
 */
import { orderOfCallId } from '@recloser/calls/call/id';
import { type ListedId, listIds, readListed } from '@recloser/calls/read/list-calls';
import { type CallStatus, callStatuses } from '@recloser/calls/read/status';
import { type CallView, callView } from '@recloser/calls/read/view';
import { z } from 'zod';
import { problem } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';

/** Number of calls on a page. */
export const listLimits = { default: 50, most: 200 } as const;

/** Maximum number of calls examined for one page. With a rare status, a page may be short. */
const lookedAtMost = 2000;

/** A call in a list. */
export type ListedCall = Omit<CallView, 'result' | 'history'>;

type Query = {
  readonly upstreams: readonly WebUpstream[];
  readonly status?: CallStatus;
  readonly before?: string;
  readonly limit: number;
};

type Candidate = ListedId & { readonly upstream: WebUpstream };

const orderSchema = z.uuidv7();

/** Answers 200 with a page, or 400 for an invalid parameter. */
export async function listCalls(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const query = parseQuery(request.query, deps);
  if (!('upstreams' in query)) return query;
  const { status, before } = query;
  const found = await Promise.all(
    query.upstreams.map(async (upstream): Promise<Candidate[]> => {
      const listed = await listIds(
        { redis: deps.redis, queue: upstream.queue, root: upstream.root },
        { limit: lookedAtMost + 1, ...(status && { status }), ...(before && { before }) },
      );
      return listed.map((one) => ({ ...one, upstream }));
    }),
  );
  const candidates = found.flat().sort((a, b) => (orderOfCallId(a.id) < orderOfCallId(b.id) ? 1 : -1));
  const { calls, last } = await fillPage(deps, query, candidates);
  const nextCursor = last === undefined ? null : encodeCursor(last);
  return { status: 200, body: { calls, nextCursor, links: { next: nextLink(request.query, nextCursor) } } };
}

/** Fills the page from the candidates. `last` is the id before the next page. Undefined on the last page. */
async function fillPage(
  deps: WebDeps,
  { limit, status }: Query,
  candidates: readonly Candidate[],
): Promise<{ calls: ListedCall[]; last: string | undefined }> {
  const calls: ListedCall[] = [];
  let looked = 0;
  while (looked < candidates.length && looked < lookedAtMost) {
    for (const view of await viewsOf(deps, candidates.slice(looked, looked + limit))) {
      looked += 1;
      if (view && (status === undefined || view.status === status)) calls.push(withoutDetails(view));
      if (calls.length === limit) break;
    }
    if (calls.length === limit) break;
  }
  const more = looked < candidates.length;
  return { calls, last: more ? candidates[looked - 1]?.id : undefined };
}

/** One view per candidate. Undefined for a call that has been removed meanwhile. */
async function viewsOf(
  deps: WebDeps,
  candidates: readonly Candidate[],
): Promise<readonly (CallView | undefined)[]> {
  const upstreams = [...new Set(candidates.map(({ upstream }) => upstream))];
  const views = new Map<string, CallView>();
  await Promise.all(
    upstreams.map(async (upstream) => {
      const mine = candidates.filter((candidate) => candidate.upstream === upstream);
      const [{ holds, nowMs }, stored, throughput] = await Promise.all([
        deps.readUpstreamState(upstream),
        readListed({ redis: deps.redis, queue: upstream.queue }, mine),
        deps.throughput.read(upstream),
      ]);
      for (const [id, call] of stored) {
        const about = { upstream: upstream.name, call, holds, nowMs, ...(throughput && { throughput }) };
        views.set(id, callView(about));
      }
    }),
  );
  return candidates.map(({ id }) => views.get(id));
}

function withoutDetails({ result: _result, history: _history, ...rest }: CallView): ListedCall {
  return rest;
}

function parseQuery(query: ApiRequest['query'], deps: WebDeps): Query | ApiResponse {
  const known = ['upstream', 'status', 'cursor', 'limit'];
  const unknown = Object.keys(query).find((name) => !known.includes(name));
  if (unknown !== undefined)
    return invalid('query', `Unknown query parameter. Valid parameters: ${known.join(', ')}.`);
  const { upstream: name, status, cursor, limit = String(listLimits.default) } = query;
  const upstream = typeof name === 'string' ? deps.upstreams.get(name) : undefined;
  if (name !== undefined && !upstream)
    return invalid('upstream', 'Unknown upstream. GET /v1/upstreams lists the valid names.');
  if (status !== undefined && !isStatus(status)) {
    return invalid('status', `Unknown status. Valid values: ${callStatuses.join(', ')}.`);
  }
  const before = cursor === undefined ? undefined : decodeCursor(cursor);
  if (before === null) return invalid('cursor', 'Invalid cursor. Use nextCursor of the previous page.');
  const count = typeof limit === 'string' && /^\d{1,3}$/.test(limit) ? Number(limit) : 0;
  if (count < 1 || count > listLimits.most)
    return invalid('limit', `limit must be a whole number from 1 to ${listLimits.most}.`);
  const upstreams = upstream ? [upstream] : [...deps.upstreams.values()];
  return { upstreams, limit: count, ...(status && { status }), ...(before && { before }) };
}

function invalid(parameter: string, detail: string): ApiResponse {
  return problem('invalid_query', { detail, more: { parameter } });
}

function isStatus(value: unknown): value is CallStatus {
  return (callStatuses as readonly unknown[]).includes(value);
}

function encodeCursor(id: string): string {
  return Buffer.from(orderOfCallId(id)).toString('base64url');
}

/** Null if the cursor is invalid. */
function decodeCursor(cursor: unknown): string | null {
  if (typeof cursor !== 'string') return null;
  const order = Buffer.from(cursor, 'base64url').toString();
  return orderSchema.safeParse(order).success && order === order.toLowerCase() ? order : null;
}

function nextLink(query: ApiRequest['query'], nextCursor: string | null): string | null {
  if (nextCursor === null) return null;
  const given = Object.entries(query).map(([name, value]) => [name, String(value)] as [string, string]);
  const parameters = new URLSearchParams(given);
  parameters.set('cursor', nextCursor);
  return `/v1/calls?${parameters}`;
}
