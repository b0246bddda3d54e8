/**
 * The two steps of a sign-in by text message. A worker calls the upstream, never this process. The code is validated,
 * sealed, and neither logged nor recorded in the audit log.
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

/** Prevents that a double click sends two text messages. */
const betweenCodesMs = 10_000;

type SignInDeps = {
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
      const detail = 'A code was sent a moment ago. Wait for it, or send another in a few seconds.';
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
      const detail = 'The code must be the six digits from the text message.';
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
  const detail = found ? 'This upstream signs in automatically.' : 'Unknown upstream.';
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
      const detail = `${answer.message} Check on the Breakers page that a worker is running, then try again.`;
      sendProblem(res, problemOf(problems.noAnswer, detail, { reason: answer.code }));
      return;
    }
    default:
      answer satisfies never;
  }
}
