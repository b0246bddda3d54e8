/**
 * The actions on an upstream, as one table. Each needs a reason and is recorded before it runs. Actions change holds
 * and the fleet breaker, never the queue itself.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import { isoTimeSchema } from '@recloser/runtime/values/iso-time';
import { forgetRefusal } from '@recloser/upstreams/session/store';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { AuditLog } from '../access/audit.ts';
import { invalidBody, invalidFields } from '../page/field-errors.ts';
import { type Problem, problemOf, problems, sendProblem } from '../page/problem.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { defaultHoldMs } from '../upstream/operator-hold.ts';
import { mayAct, type Role, type User } from '../user/accounts.ts';
import { userOf } from '../user/sessions.ts';
import { readView } from './upstream-view.ts';

type Asked = {
  readonly user: User;
  readonly reason: string;
  readonly untilMs: number | null;
  readonly nowMs: number;
  readonly redis: Redis;
};

type Action = {
  readonly role: Role;
  /** Whether the request may or must contain `until`. */
  readonly until: 'refused' | 'optional' | 'required';
  readonly act: (upstream: AdminUpstream, request: Asked) => Promise<unknown>;
};

const actions: Readonly<Record<string, Action>> = {
  hold: {
    role: 'operator',
    until: 'optional',
    act: ({ holds }, { user, reason, untilMs, nowMs }) =>
      holds.set({
        kind: 'operator',
        owner: user.name,
        reason,
        forMs: untilMs === null ? defaultHoldMs(user.role) : untilMs - nowMs,
      }),
  },
  release: {
    role: 'operator',
    until: 'refused',
    act: releaseHolds,
  },
  open: {
    role: 'operator',
    until: 'required',
    act: ({ breaker, holds }, { user, reason, untilMs, nowMs }) =>
      breaker.forceOpen(user.name, reason, untilMs ?? nowMs).then(() => holds.apply()),
  },
  probe: {
    role: 'operator',
    until: 'refused',
    act: ({ breaker, holds }, { user, reason }) =>
      breaker.probeNow(user.name, reason).then(() => holds.apply()),
  },
  // Closing is a probe and then the ramp.
  close: {
    role: 'operator',
    until: 'refused',
    act: ({ breaker, holds }, { user, reason }) =>
      breaker.probeNow(user.name, reason).then(() => holds.apply()),
  },
  'close-full': {
    role: 'admin',
    until: 'refused',
    act: ({ breaker, holds }, { user, reason }) =>
      breaker.closeFull(user.name, reason).then(() => holds.apply()),
  },
};

/**
 * Releases the operator hold. For an upstream with a password sign-in it also forgets the refused password and releases
 * the sign-in hold. A sign-in hold that needs a code stays.
 */
async function releaseHolds(
  { definition, holds, root }: AdminUpstream,
  { user, reason, redis }: Asked,
): Promise<void> {
  const by = { owner: user.name, reason };
  const held = await holds.list();
  if (definition.signIn === 'password' && held.some(({ kind }) => kind === 'sign-in')) {
    await forgetRefusal({ redis, root });
    await holds.release('sign-in', by);
  }
  await holds.release('operator', by);
}

const maxUntilMs = 31 * 24 * 60 * 60 * 1000;

const body = z.strictObject({
  action: z.string(),
  reason: z.string().trim().min(1, 'Enter a reason.').max(500),
  until: isoTimeSchema.nullish(),
});

type ActionDeps = {
  readonly redis: Redis;
  readonly audit: AuditLog;
  readonly upstreams: readonly AdminUpstream[];
};

/** `POST /api/upstreams/{name}/actions`: returns the upstream after the action. */
export function actionHandler(deps: ActionDeps): (req: Request, res: Response) => Promise<void> {
  return async (req, res) => {
    const upstream = deps.upstreams.find(({ definition }) => definition.name === req.params.name);
    if (upstream === undefined) return sendProblem(res, problemOf(problems.notFound, 'Unknown upstream.'));
    const user = userOf(res);
    const [seconds] = await deps.redis.time();
    const parsed = parseAction(req.body, Number(seconds) * 1000);
    if ('problem' in parsed) return sendProblem(res, parsed.problem);
    if (user === null || !mayAct(user.role, parsed.action.role)) {
      return sendProblem(
        res,
        problemOf(problems.forbidden, `${parsed.name} requires the ${parsed.action.role} role.`),
      );
    }
    const { name, reason, untilMs, nowMs } = parsed;
    const wait = await tooSoon(deps.redis, upstream, name);
    if (wait !== null) {
      res.setHeader('Retry-After', String(Math.ceil(wait / 1000)));
      const detail =
        'The upstream was probed manually a moment ago. Wait before you probe a failing upstream again.';
      return sendProblem(res, problemOf(problems.tooMany, detail));
    }
    const until = untilMs === null ? null : new Date(untilMs).toISOString();
    const entry = {
      user: user.name,
      role: user.role,
      action: name,
      target: upstream.definition.name,
      reason,
      until,
    };
    await deps.audit.around(entry, () =>
      parsed.action.act(upstream, { user, reason, untilMs, nowMs, redis: deps.redis }),
    );
    res.json((await readView(deps.redis, upstream)).view);
  };
}

/** Limits manual probes to one per third of the reset time, at most 10 s. Returns ms to wait, or null. */
async function tooSoon(redis: Redis, upstream: AdminUpstream, action: string): Promise<number | null> {
  if (action !== 'probe' && action !== 'close') return null;
  const { state } = await upstream.breaker.read();
  if (state !== 'open') return null;
  const key = `${upstream.root}:probed-by-hand`;
  const betweenMs = Math.ceil(Math.min(10_000, upstream.policy.resetMs / 3));
  if ((await redis.set(key, '1', 'PX', betweenMs, 'NX')) !== null) return null;
  return Math.max(1, await redis.pttl(key));
}

type Parsed =
  | {
      readonly name: string;
      readonly action: Action;
      readonly reason: string;
      readonly untilMs: number | null;
      readonly nowMs: number;
    }
  | { readonly problem: Problem };

/** Parses a request body. `nowMs` is Redis' clock, which also ends holds. */
export function parseAction(input: unknown, nowMs: number): Parsed {
  const parsed = body.safeParse(input ?? {});
  if (!parsed.success) {
    return { problem: invalidBody(parsed.error.issues) };
  }
  const { action: name, reason, until } = parsed.data;
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action === undefined) {
    const allowed = Object.keys(actions);
    const detail = `Must be one of ${allowed.join(', ')}.`;
    return { problem: invalidFields([{ pointer: '/action', detail }], { allowed }) };
  }
  const untilMs = until == null ? null : Date.parse(until);
  const detail = untilProblem(action, untilMs, nowMs);
  if (detail !== null) return { problem: invalidFields([{ pointer: '/until', detail }]) };
  return { name, action, reason, untilMs, nowMs };
}

function untilProblem(action: Action, untilMs: number | null, nowMs: number): string | null {
  if (untilMs === null) return action.until === 'required' ? 'This action needs an end time.' : null;
  if (action.until === 'refused') return 'This action takes no end time.';
  if (untilMs <= nowMs) return 'Must be in the future.';
  return untilMs > nowMs + maxUntilMs ? 'Must be within 31 days.' : null;
}
