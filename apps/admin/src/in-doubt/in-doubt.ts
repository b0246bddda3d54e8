/**
 * `GET /api/in-doubt` and `POST /api/in-doubt/{id}`: lists calls in doubt and settles one. A settlement needs a reason
 * and is recorded before it runs. If two people settle the same call, one gets 409.
 */
import { readUpstreamState } from '@recloser/breaker/upstream-state';
import { upstreamOfCallId } from '@recloser/calls/call/id';
import { sealValue } from '@recloser/calls/call/seal-input';
import { type CallView, callView, readCall } from '@recloser/calls/read/view';
import { claim } from '@recloser/calls/write/claims';
import {
  type InDoubtCall,
  listInDoubt,
  resend,
  type Settlement,
  settleAsDone,
} from '@recloser/calls/write/in-doubt';
import { type LateAnswer, readLateAnswers } from '@recloser/calls/write/late-answers';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { AuditLog } from '../access/audit.ts';
import { invalidBody, invalidFields } from '../page/field-errors.ts';
import { problemOf, problems, sendProblem } from '../page/problem.ts';
import { redactData } from '../page/redact.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import type { User } from '../user/accounts.ts';
import { userOf } from '../user/sessions.ts';
import { neededFields, resultFrom } from './in-doubt-result.ts';

/** Dependencies of the handlers. */
export type InDoubtDeps = {
  readonly redis: Redis;
  readonly upstreams: readonly AdminUpstream[];
  readonly audit: AuditLog;
  readonly sealer: Sealer;
};

/** One call of the work list: the redacted call and the evidence to settle it. */
export type InDoubtItem = Pick<
  CallView,
  'id' | 'upstream' | 'operation' | 'createdAt' | 'attempts' | 'history' | 'error'
> & {
  readonly since: string;
  /** Redacted: personal data and free text are hidden. */
  readonly input: unknown;
  /** Fields that `result` must contain for `done`. */
  readonly needed: readonly string[];
  /** Answers that reached a worker after it had lost the call. They are evidence, not proof of the current state. */
  readonly lateAnswers: readonly LateAnswer[];
};

/** The work list, oldest first. `total` also counts calls that are not listed. */
export type InDoubtList = { readonly total: number; readonly calls: readonly InDoubtItem[] };

const maxListed = 100;

/** Reads the work list of all upstreams. */
export async function readInDoubt({
  redis,
  upstreams,
}: Pick<InDoubtDeps, 'redis' | 'upstreams'>): Promise<InDoubtList> {
  const lists = await Promise.all(
    upstreams.map(async (upstream) => {
      const { total, calls } = await listInDoubt({ redis, ...upstream }, maxListed);
      const late = await readLateAnswers(redis, upstream.root, new Set(calls.map(({ id }) => id)));
      return { total, calls: calls.map((one) => itemOf(upstream, one, late)) };
    }),
  );
  const calls = lists.flatMap((list) => list.calls).sort((a, b) => (a.since < b.since ? -1 : 1));
  return { total: lists.reduce((sum, { total }) => sum + total, 0), calls };
}

function itemOf(
  { definition }: AdminUpstream,
  { id, sinceMs, call }: InDoubtCall,
  late: readonly LateAnswer[],
): InDoubtItem {
  const view = callView({ upstream: definition.name, call, holds: [], nowMs: Date.now() });
  const { upstream, operation, createdAt, attempts, history, error } = view;
  const shown = redactData(definition, call.job.data) as { readonly input?: unknown };
  const known = (definition.operations as Readonly<Record<string, OperationDefinition>>)[operation];
  return {
    id,
    upstream,
    operation,
    createdAt,
    since: new Date(sinceMs).toISOString(),
    attempts,
    history,
    error,
    input: shown.input,
    needed: known ? neededFields(known, view.input) : [],
    lateAnswers: late.filter(({ callId }) => callId === id),
  };
}

/** `GET /api/in-doubt`. */
export function listCallsInDoubt(deps: InDoubtDeps) {
  return async (_req: Request, res: Response): Promise<void> => {
    res.json(await readInDoubt(deps));
  };
}

const reason = z.string().trim().min(1, 'Enter a reason.').max(500);
const body = z.discriminatedUnion('action', [
  z.strictObject({
    action: z.literal('done'),
    reason,
    result: z.record(z.string(), z.unknown()).optional(),
  }),
  z.strictObject({ action: z.literal('resend'), reason }),
]);
type Asked = z.infer<typeof body>;

/** `POST /api/in-doubt/{id}` `{action: "done"|"resend", reason, result?}`: returns the call after the decision. */
export function settleInDoubt(deps: InDoubtDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    const id = String(req.params.id);
    const names = deps.upstreams.map(({ definition }) => definition.name);
    const name = upstreamOfCallId(id, names);
    const upstream = deps.upstreams.find(({ definition }) => definition.name === name);
    if (user === null) return sendProblem(res, problems.signedOut);
    if (!upstream) return sendProblem(res, problemOf(problems.notFound, 'No call has this id.'));
    const parsed = body.safeParse(req.body ?? {});
    if (!parsed.success) return sendProblem(res, invalidBody(parsed.error.issues));
    const settlement = await settle(deps, upstream, { id, asked: parsed.data, user });
    if (typeof settlement !== 'string') return sendProblem(res, settlement);
    if (settlement !== 'settled') return sendProblem(res, refusals[settlement]);
    const call = await readCall({ redis: deps.redis, queue: upstream.queue, id });
    const { holds, nowMs } = await readUpstreamState({ redis: deps.redis, root: upstream.root });
    const view = call && callView({ upstream: upstream.definition.name, call, holds, nowMs });
    res.json({ id, action: parsed.data.action, status: view?.status, attempts: view?.attempts });
  };
}

async function settle(
  { redis, audit, sealer }: InDoubtDeps,
  upstream: AdminUpstream,
  { id, asked, user }: { readonly id: string; readonly asked: Asked; readonly user: User },
): Promise<Settlement | ReturnType<typeof invalidFields>> {
  const target = { redis, ...upstream };
  const decision = { by: user.name, reason: asked.reason, nowMs: Date.now() };
  const entry = {
    user: user.name,
    role: user.role,
    action: `in doubt: ${asked.action}`,
    target: id,
    reason: asked.reason,
  };
  const act = async (settling: () => Promise<Settlement>): Promise<Settlement> => {
    const settlement = await audit.around(entry, settling);
    if (settlement !== 'settled') await audit.record({ ...entry, outcome: 'failed' });
    return settlement;
  };
  if (asked.action === 'resend') return act(() => resend(target, id, decision));
  const job = await upstream.queue.getJob(id);
  if (!job) return 'missing';
  const { operation: called, input } = job.data as { operation?: unknown; input?: Record<string, unknown> };
  const operation = upstream.definition.operations[String(called)];
  if (!operation || !input) return 'unreadable';
  const made = resultFrom(operation, input, asked.result ?? {});
  if ('errors' in made) return invalidFields(made.errors, { needed: neededFields(operation, input) });
  const result = operation.sealedResult ? sealValue(made.result, sealer) : made.result;
  return act(async () => {
    const settlement = await settleAsDone(target, id, { ...decision, result });
    const resource = operation.makes && (made.result as Record<string, unknown>)[operation.makes];
    // A person may name what another call holds. That call keeps its claim.
    if (settlement === 'settled' && typeof resource === 'string') await claim(target, resource, id);
    return settlement;
  });
}

const faster = problemOf(
  problems.conflict,
  'This call is not in doubt. Someone else may have just settled it. Reload the page.',
);
const gone = problemOf(problems.notFound, 'No call has this id, or it is no longer kept.');
const refusals: Readonly<Record<Exclude<Settlement, 'settled'>, Parameters<typeof sendProblem>[1]>> = {
  changed: faster,
  not_in_doubt: faster,
  missing: gone,
  unreadable: problemOf(problems.conflict, 'This release cannot read the stored call.'),
};
