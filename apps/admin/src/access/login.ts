/** Login and logout. Attempts are limited by address and by user name before the password is checked. */
import { createHash } from 'node:crypto';
import type { Redis } from '@recloser/runtime/redis/connection';
import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import { z } from 'zod';
import { type Problem, problemOf, problems, sendProblem } from '../page/problem.ts';
import type { Accounts } from '../user/accounts.ts';
import { endSession, startSession, userOf } from '../user/sessions.ts';
import { AttemptStore } from './attempt-store.ts';
import type { AuditLog } from './audit.ts';
import { sameOrigin } from './guard.ts';
import { loginPage } from './login-page.ts';

/** Failed logins allowed per window. */
export const loginLimits = { windowMs: 15 * 60 * 1000, perUser: 10, perAddress: 50 } as const;

const credentials = z.object({ username: z.string().min(1).max(100), password: z.string().min(1).max(1000) });

type LoginDeps = {
  readonly accounts: Accounts;
  readonly redis: Redis;
  readonly prefix: string;
  readonly audit: AuditLog;
};

/** GET/POST /login and POST /logout. */
export function loginRoutes(deps: LoginDeps): Router {
  const router = express.Router();
  const readBody = [express.urlencoded({ extended: false, limit: '4kb' }), express.json({ limit: '4kb' })];
  router.get('/login', (req, res) => {
    if (userOf(res) !== null) return res.redirect(303, '/breakers');
    res.send(loginPage({ error: null, next: safeNext(req.query.next) }).text);
  });
  router.post('/login', sameOrigin, ...readBody, ...limiters(deps), async (req, res) => {
    const parsed = credentials.safeParse(req.body);
    const account = parsed.success
      ? await deps.accounts.check(parsed.data.username, parsed.data.password)
      : null;
    if (account === null) return refuse(req, res, problems.badLogin);
    await startSession(req, { name: account.user.name, stamp: account.stamp });
    await deps.audit.record({ user: account.user.name, role: account.user.role, action: 'login' });
    if (wantsPage(req))
      return res.redirect(303, safeNext((req.body as { next?: unknown }).next) ?? '/breakers');
    res.json(account.user);
  });
  router.post('/logout', sameOrigin, async (req, res) => {
    await endSession(req);
    res.redirect(303, '/login');
  });
  return router;
}

function limiters({ redis, prefix }: LoginDeps): RequestHandler[] {
  const shared = {
    windowMs: loginLimits.windowMs,
    skipSuccessfulRequests: true,
    standardHeaders: false,
    legacyHeaders: false,
    // Sessions need Redis too, so a login without Redis fails anyway.
    passOnStoreError: false,
    handler: (req: Request, res: Response) => {
      const detail = 'Too many failed logins. Wait 15 minutes, then try again.';
      refuse(req, res, problemOf(problems.tooMany, detail));
    },
  } as const;
  return [
    rateLimit({
      ...shared,
      limit: loginLimits.perAddress,
      store: new AttemptStore({ redis, prefix, name: 'address' }),
      keyGenerator: (req) => ipKeyGenerator(req.ip ?? 'unknown'),
    }),
    rateLimit({
      ...shared,
      limit: loginLimits.perUser,
      store: new AttemptStore({ redis, prefix, name: 'user' }),
      keyGenerator: (req) => userKey((req.body as { username?: unknown } | undefined)?.username),
    }),
  ];
}

/** Hashed, because people sometimes type a password into the user name field. */
function userKey(username: unknown): string {
  return createHash('sha256')
    .update(String(username ?? ''))
    .digest('base64url')
    .slice(0, 22);
}

function refuse(req: Request, res: Response, problem: Problem): void {
  if (!wantsPage(req)) {
    sendProblem(res, problem);
    return;
  }
  if (problem.status === 429) res.setHeader('Retry-After', String(loginLimits.windowMs / 1000));
  const next = safeNext((req.body as { next?: unknown } | undefined)?.next);
  res.status(problem.status).send(loginPage({ error: problem.detail, next }).text);
}

function wantsPage(req: Request): boolean {
  return req.is('application/json') === false && req.accepts(['html', 'json']) === 'html';
}

/** The path to open after the login. Only a path of this site is accepted, to prevent an open redirect. */
function safeNext(next: unknown): string | null {
  return typeof next === 'string' && /^\/(?![/\\])[\x21-\x7e]*$/.test(next) && !next.startsWith('/login')
    ? next
    : null;
}
