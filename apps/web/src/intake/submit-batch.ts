/**
 * `POST /v1/calls:batch`: up to 1,000 calls in one request, with one result per item, in order. If any item is invalid,
 * nothing is stored. Otherwise items are stored one by one, and each has its own result, even if Redis fails midway.
 */
import { callView } from '@recloser/calls/read/view';
import type { EnqueueResult } from '@recloser/calls/write/enqueue';
import { rateLimited, storageUnavailable } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { UpstreamStateView, WebDeps } from '../http/web-deps.ts';
import { parseBatch } from './batch-body.ts';
import { refuseMovedItems } from './changed-batch.ts';
import {
  judgeIfOpen,
  type Prepared,
  refuseIntake,
  replay,
  storeCall,
  storeProblem,
  type Verdict,
} from './intake.ts';

const atOnce = 50;
/** Time limit for the whole batch. Items that are not started by then are not stored. */
const budgetMs = 20_000;

type States = ReadonlyMap<string, UpstreamStateView>;

/** Answers 202 if all calls are stored, 207 if not, or a problem if the whole batch is refused. */
export async function submitBatch(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const parsed = parseBatch(request, deps);
  if ('status' in parsed) return parsed;
  const refusal = (await refuseRate(request, deps, parsed.length)) ?? refuseBatch(deps, parsed);
  if (refusal) return refusal;
  const states = await readStates(deps, parsed);
  const batch = { scope: request.client ?? '', key: request.header('Idempotency-Key') };
  const moved = await refuseMovedItems(deps, batch, parsed);
  const answers: ApiResponse[] = [];
  const deadlineMs = Date.now() + budgetMs;
  let broken = false;
  for (let first = 0; first < parsed.length; first += atOnce) {
    const wave = parsed.slice(first, first + atOnce);
    const answered = await Promise.all(
      wave.map((item, index) => {
        const refusal = moved.get(first + index);
        if (refusal) return refusal;
        return broken || Date.now() > deadlineMs
          ? storageUnavailable()
          : submitItem(request, deps, item, states);
      }),
    );
    broken ||= answered.some(({ problem: code }) => code?.startsWith('storage_'));
    answers.push(...answered);
  }
  const results = answers.map((answer, index) => resultOf(index, answer));
  const kept = results.every((result) => 'call' in result);
  return { status: kept ? 202 : 207, body: { results } };
}

/** The request itself has already been counted as one. */
async function refuseRate(
  request: ApiRequest,
  deps: WebDeps,
  count: number,
): Promise<ApiResponse | undefined> {
  const verdict = count > 1 ? await deps.rateLimit.spend(request.client, count - 1) : undefined;
  return verdict?.allowed === false ? rateLimited(verdict.resetSeconds) : undefined;
}

function refuseBatch(deps: WebDeps, items: readonly Prepared[]): ApiResponse | undefined {
  const counts = new Map<Prepared['target']['upstream'], number>();
  for (const { target } of items) counts.set(target.upstream, (counts.get(target.upstream) ?? 0) + 1);
  for (const [upstream, count] of counts) {
    const refusal = refuseIntake(deps, upstream, count);
    if (refusal) return refusal;
  }
  return undefined;
}

/** Reads the state of each upstream once. Rejects if Redis fails; nothing is stored yet. */
async function readStates(deps: WebDeps, items: readonly Prepared[]): Promise<States> {
  const upstreams = [...new Set(items.map(({ target }) => target.upstream))];
  return new Map(
    await Promise.all(
      upstreams.map(async (upstream) => [upstream.name, await deps.readUpstreamState(upstream)] as const),
    ),
  );
}

async function submitItem(
  request: ApiRequest,
  deps: WebDeps,
  item: Prepared,
  states: States,
): Promise<ApiResponse> {
  const { upstream, operation } = item.target;
  let verdict: Verdict;
  try {
    verdict = await judgeIfOpen(deps, item, request.client);
  } catch {
    return storageUnavailable();
  }
  if (verdict.kind === 'answer') return verdict.response;
  const result = verdict.kind === 'store' ? await storeCall(request, deps, item) : replay(verdict.id);
  if (result.kind !== 'stored') return storeProblem(deps, result);
  deps.metrics.accepted(upstream.name, operation.name, result.replayed);
  return accepted(deps, item, result, states);
}

/** The result of a stored item, without a further read. The status of a call from an earlier request is null. */
function accepted(
  deps: WebDeps,
  { target: { upstream } }: Prepared,
  { id, added, replayed }: Extract<EnqueueResult, { kind: 'stored' }>,
  states: States,
): ApiResponse {
  const links = { self: `/v1/calls/${id}`, upstream: `/v1/upstreams/${upstream.name}` };
  if (!added || replayed) return { status: 202, body: { id, status: null, replayed, links } };
  const delayMs = added.opts.delay ?? 0;
  const dueMs = delayMs > 0 ? (added.opts.timestamp ?? 0) + delayMs : null;
  const placement = { state: dueMs === null ? 'waiting' : 'delayed', dueMs, position: null } as const;
  const { holds = [], nowMs = Date.now() } = states.get(upstream.name) ?? {};
  const call = { job: added, placement };
  const { status } = callView({ upstream: upstream.name, call, holds, nowMs, sealer: deps.sealer });
  return { status: 202, body: { id, status, replayed, links } };
}

function resultOf(index: number, { status, body, problem: code }: ApiResponse): object {
  if (code !== undefined) return { index, status, problem: body };
  return status === 200 ? { index, status, stale: body } : { index, status, call: body };
}
