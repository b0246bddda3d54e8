/**
 * The two steps of an interactive sign-in. Always true: a worker does the calling, never this process; the
 * code a person types is checked for its form, sealed at once, and neither logged nor recorded.
 */
import { requestSignInStep, type SignInAnswer, type SignInRequest } from '@recloser/calls/sign-in/queue';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { Queue } from 'bullmq';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { AuditLog } from '../access/audit.ts';
import { problemOf, problems, sendProblem } from '../page/problem.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { userOf } from '../user/sessions.ts';

/** Each code is a text message on a person's phone: a double click must not send two. */
const betweenCodesMs = 10_000;

/** What the sign-in steps need. */
export type SignInDeps = {
  readonly upstreams: readonly AdminUpstream[];
  readonly redis: Redis;
  readonly sealer: Sealer;
  readonly audit: AuditLog;
  /** How long to wait for a worker. */
  readonly timeoutMs: number;
};

const codeBody = z.strictObject({
  code: z
    .string()
    .trim()
    .regex(/^[0-9]{6}$/),
});

/** `POST /api/sign-in/{name}/send-code`. */
export function sendCode(deps: SignInDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const upstream = findUpstream(deps, req, res);
    if (upstream === null) return;
    const lastKey = `${upstream.root}:code-asked`;
    const first = await deps.redis.set(lastKey, '1', 'PX', betweenCodesMs, 'NX');
    if (first === null) {
      const detail = 'A code was sent a moment ago. Wait for it, or ask again in a few seconds.';
      res.setHeader('Retry-After', String(betweenCodesMs / 1000));
      return sendProblem(res, problemOf(problems.tooMany, detail));
    }
    await takeStep(deps, upstream, { step: 'send-code' }, res);
  };
}

/** `POST /api/sign-in/{name}/verify` with `{code}`. */
export function verifyCode(deps: SignInDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const upstream = findUpstream(deps, req, res);
    if (upstream === null) return;
    const parsed = codeBody.safeParse(req.body);
    if (!parsed.success) {
      const detail = 'The code is the six digits of the text message.';
      const errors = [{ pointer: '/code', detail }];
      return sendProblem(res, problemOf(problems.invalid, detail, { errors }));
    }
    await takeStep(deps, upstream, { step: 'verify', code: parsed.data.code }, res);
  };
}

type SignInUpstream = AdminUpstream & { readonly signInQueue: Queue };

function findUpstream(deps: SignInDeps, req: Request, res: Response): SignInUpstream | null {
  const found = deps.upstreams.find(({ definition }) => definition.name === req.params.name);
  if (found?.signInQueue) return { ...found, signInQueue: found.signInQueue };
  const detail = found ? 'This upstream signs in by itself.' : 'There is no such upstream.';
  sendProblem(res, problemOf(problems.notFound, detail));
  return null;
}

async function takeStep(
  deps: SignInDeps,
  upstream: SignInUpstream,
  step: SignInRequest,
  res: Response,
): Promise<void> {
  const user = userOf(res);
  if (user === null) return sendProblem(res, problems.signedOut);
  const action = `sign-in ${step.step}`;
  const entry = { user: user.name, role: user.role, action, target: upstream.definition.name };
  const { sealer, timeoutMs } = deps;
  const ask = () => requestSignInStep({ queue: upstream.signInQueue, sealer, step, timeoutMs });
  sendAnswer(res, await deps.audit.around(entry, ask));
}

function sendAnswer(res: Response, answer: SignInAnswer): void {
  switch (answer.kind) {
    case 'code-sent':
    case 'signed-in':
      res.json({ kind: answer.kind });
      return;
    case 'refused':
      sendProblem(res, {
        status: 422,
        code: answer.code,
        title: 'The upstream refused',
        detail: answer.message,
      });
      return;
    case 'no-answer': {
      const detail = `${answer.message} Is a worker running? See the workers on the breaker page, then try again.`;
      sendProblem(res, problemOf(problems.noAnswer, detail, { reason: answer.code }));
      return;
    }
    default:
      answer satisfies never;
  }
}
