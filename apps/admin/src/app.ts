/** Builds the Express app. Every route except health, metrics, assets and login requires a session. */
import { fileURLToPath } from 'node:url';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Metrics } from '@recloser/runtime/observe/metrics';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { AuditLog } from './access/audit.ts';
import { auditPage, listAudit } from './access/audit-page.ts';
import { allow, jsonBody, type Route, sameOrigin } from './access/guard.ts';
import { loginRoutes } from './access/login.ts';
import { boardPath, createBoard } from './board/board.ts';
import { actionHandler } from './breakers/actions.ts';
import { breakersPage } from './breakers/breakers-page.ts';
import type { UpstreamFeed } from './breakers/upstream-feed.ts';
import { listUpstreams, streamUpstreams } from './breakers/upstreams-api.ts';
import { callPage } from './calls/call-page.ts';
import { errorHandler, notFound } from './errors.ts';
import { healthRoutes } from './health-routes.ts';
import { listCallsInDoubt, settleInDoubt } from './in-doubt/in-doubt.ts';
import { inDoubtPage, inDoubtPath } from './in-doubt/in-doubt-page.ts';
import { getIncident, listIncidents } from './incidents/incidents-api.ts';
import { incidentPage, incidentsPage } from './incidents/incidents-page.ts';
import type { NavigationLink } from './page/page.ts';
import { countRetries, startRetries, stopRetries } from './retry/retry-api.ts';
import { securityHeaders } from './security-headers.ts';
import { sendCode, verifyCode } from './sign-in/sign-in.ts';
import { signInPage } from './sign-in/sign-in-page.ts';
import type { AdminUpstream } from './upstream/admin-upstream.ts';
import type { Accounts } from './user/accounts.ts';
import { createSessions, identify, userOf } from './user/sessions.ts';

/** Dependencies of the app. The caller starts and stops them. */
export type AdminDeps = {
  readonly redis: Redis;
  readonly prefix: string;
  /** Signs cookies. */
  readonly sessionKey: Buffer;
  readonly sealer: Sealer;
  readonly accounts: Accounts;
  readonly upstreams: readonly AdminUpstream[];
  readonly feed: UpstreamFeed;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Express' `trust proxy` setting. */
  readonly trustProxy: string;
  /** How long a sign-in step waits for a worker. */
  readonly signInTimeoutMs: number;
};

export function createApp(deps: AdminDeps): Express {
  const app = express();
  app.disable('x-powered-by').set('trust proxy', deps.trustProxy);
  app.use(headersByPath());
  app.use(healthRoutes(deps));
  app.use('/assets', express.static(fileURLToPath(new URL('./public', import.meta.url)), { maxAge: '1m' }));
  app.use((req, res, next) => {
    // Only Bull Board's static files may be cached.
    if (!req.path.startsWith(`${boardPath}/static/`)) res.setHeader('Cache-Control', 'no-store');
    next();
  });
  app.use(createSessions(deps), identify(deps.accounts));
  const audit = new AuditLog(deps);
  app.use(loginRoutes({ ...deps, audit }));
  const links = signInLinks(deps.upstreams);
  for (const { method, path, role, audience, handle } of routes(deps, audit, links)) {
    app[method](path, allow(role, audience), sameOrigin, ...jsonBody, handle);
  }
  app.use(boardPath, boardGate, sameOrigin, ...createBoard({ ...deps, audit, links }));
  app.use(notFound, errorHandler(deps.log) satisfies ErrorRequestHandler);
  return app;
}

/** The routes with the minimum role of each. Bull Board's routes are in `board.ts`. */
export function routes(deps: AdminDeps, audit: AuditLog, links: readonly NavigationLink[]): readonly Route[] {
  const { redis, upstreams, feed, sealer } = deps;
  const signIn = {
    upstreams,
    redis,
    audit,
    sealer,
    timeoutMs: deps.signInTimeoutMs,
  };
  const page = { method: 'get', role: 'viewer', audience: 'page' } as const;
  const read = { method: 'get', role: 'viewer', audience: 'api' } as const;
  const write = { method: 'post', role: 'operator', audience: 'api' } as const;
  return [
    { ...page, path: '/', handle: (_req, res) => res.redirect(303, '/breakers') },
    {
      ...page,
      path: '/breakers',
      handle: (_req, res) => {
        const user = userOf(res);
        if (user !== null) res.send(breakersPage(user, links).text);
      },
    },
    { ...page, path: '/sign-in/:name', handle: signInPage(upstreams, links) },
    { ...page, path: '/incidents', handle: incidentsPage({ redis, upstreams, links }) },
    { ...page, path: '/incidents/:name/:id', handle: incidentPage({ redis, upstreams, links }) },
    { ...page, path: '/audit', handle: auditPage(audit, links) },
    { ...page, path: '/calls/:id', handle: callPage({ redis, upstreams, links }) },
    { ...read, path: '/api/incidents', handle: listIncidents(redis, upstreams) },
    { ...read, path: '/api/incidents/:name/:id', handle: getIncident(redis, upstreams) },
    { ...read, path: '/api/audit', handle: listAudit(audit) },
    ...retryRoutes({ redis, audit, upstreams }),
    ...inDoubtRoutes({ redis, audit, upstreams, sealer }, links),
    { ...read, path: '/api/upstreams', handle: listUpstreams(redis, upstreams) },
    { ...read, path: '/api/upstreams/stream', handle: streamUpstreams(feed) },
    { ...write, path: '/api/upstreams/:name/actions', handle: actionHandler({ redis, audit, upstreams }) },
    { ...write, path: '/api/sign-in/:name/send-code', handle: sendCode(signIn) },
    { ...write, path: '/api/sign-in/:name/verify', handle: verifyCode(signIn) },
  ];
}

function retryRoutes(deps: Parameters<typeof countRetries>[0]): readonly Route[] {
  const write = { method: 'post', role: 'operator', audience: 'api' } as const;
  return [
    { ...write, path: '/api/upstreams/:name/retries/count', handle: countRetries(deps) },
    { ...write, path: '/api/upstreams/:name/retries', handle: startRetries(deps) },
    { ...write, path: '/api/upstreams/:name/retries/stop', handle: stopRetries(deps) },
  ];
}

function inDoubtRoutes(
  deps: Parameters<typeof settleInDoubt>[0],
  links: readonly NavigationLink[],
): readonly Route[] {
  return [
    {
      method: 'get',
      role: 'viewer',
      audience: 'page',
      path: inDoubtPath,
      handle: inDoubtPage(deps, links),
    },
    {
      method: 'get',
      role: 'viewer',
      audience: 'api',
      path: '/api/in-doubt',
      handle: listCallsInDoubt(deps),
    },
    {
      method: 'post',
      role: 'operator',
      audience: 'api',
      path: '/api/in-doubt/:id',
      handle: settleInDoubt(deps),
    },
  ];
}

function headersByPath(): RequestHandler {
  const own = securityHeaders({ inlineStyles: false });
  const board = securityHeaders({ inlineStyles: true });
  return (req, res, next) => (isBoard(req.path) ? board : own)(req, res, next);
}

function isBoard(path: string): boolean {
  return path === boardPath || path.startsWith(`${boardPath}/`);
}

/** Without a session the board's pages redirect to the login and its API returns 401. */
const boardGate: RequestHandler = (req, res, next) => {
  const wantsPage = req.method === 'GET' && !req.path.startsWith('/api/');
  allow('viewer', wantsPage ? 'page' : 'api')(req, res, next);
};

function signInLinks(upstreams: readonly AdminUpstream[]): NavigationLink[] {
  return upstreams
    .filter(({ signInQueue }) => signInQueue !== null)
    .map(({ definition }) => ({ path: `/sign-in/${definition.name}`, text: `${definition.title} sign-in` }));
}
