/**
 * Bull Board at /queues with the queue of every upstream. Viewers get a read-only board. Operators retry, promote,
 * pause and resume. Nobody can add, edit or remove calls, because an accepted call must not be lost.
 */
import { createBullBoard } from '@bull-board/api';
import type { AppViewRoute, BoardHooks } from '@bull-board/api/typings/app';
import { ExpressAdapter } from '@bull-board/express';
import { readQueueDepth } from '@recloser/calls/queue/depth';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { RequestHandler, Response } from 'express';
import type { AuditLog } from '../access/audit.ts';
import { isSafe } from '../access/guard.ts';
import { countInWords } from '../page/format.ts';
import type { NavigationLink } from '../page/page.ts';
import { problemOf, problems, sendProblem } from '../page/problem.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { mayAct, type Role } from '../user/accounts.ts';
import { userOf } from '../user/sessions.ts';
import { boardRequest, UpstreamQueueAdapter } from './board-adapter.ts';

/** Path of the board. */
export const boardPath = '/queues';

type BoardWrite = { readonly pattern: RegExp; readonly action: string; readonly role: Role };

/** The allowed state-changing requests. All others are refused. */
const writes: readonly BoardWrite[] = [
  { pattern: /^PUT \/api\/queues\/pause$/, action: 'board pause all', role: 'operator' },
  { pattern: /^PUT \/api\/queues\/resume$/, action: 'board resume all', role: 'operator' },
  { pattern: /^PUT \/api\/queues\/([^/]+)\/pause$/, action: 'board pause', role: 'operator' },
  { pattern: /^PUT \/api\/queues\/([^/]+)\/resume$/, action: 'board resume', role: 'operator' },
  { pattern: /^PUT \/api\/queues\/([^/]+)\/retry\/failed$/, action: 'board retry all', role: 'operator' },
  { pattern: /^PUT \/api\/queues\/([^/]+)\/promote$/, action: 'board promote all', role: 'operator' },
  { pattern: /^PUT \/api\/queues\/([^/]+\/[^/]+)\/retry$/, action: 'board retry', role: 'operator' },
  { pattern: /^PUT \/api\/queues\/([^/]+\/[^/]+)\/promote$/, action: 'board promote', role: 'operator' },
  { pattern: /^PATCH \/api\/queues\/([^/]+\/[^/]+)\/priority$/, action: 'board priority', role: 'operator' },
];

const boardLinks: readonly NavigationLink[] = [
  { path: '/breakers', text: 'Breakers' },
  { path: '/incidents', text: 'Incidents' },
  { path: '/in-doubt', text: 'In doubt' },
  { path: '/audit', text: 'Audit' },
];

/** Dependencies of the board. `links` are added to its menu. */
export type BoardDeps = {
  readonly redis: Redis;
  readonly upstreams: readonly AdminUpstream[];
  readonly audit: AuditLog;
  readonly links: readonly NavigationLink[];
};

/** The board's handlers. Mount them at `boardPath` behind the login. */
export function createBoard({ redis, upstreams, audit, links }: BoardDeps): RequestHandler[] {
  const server = new LocalExpressAdapter();
  server.setBasePath(boardPath);
  createBullBoard({
    queues: upstreams.map((upstream) => new UpstreamQueueAdapter(redis, upstream)),
    serverAdapter: server,
    options: {
      handlerHooks: { after: reshape(redis, upstreams) },
      uiConfig: {
        boardTitle: 'Recloser',
        boardLogo: { path: '/assets/icon.svg', width: 24, height: 24 },
        favIcon: { default: '/assets/icon.svg', alternative: '/assets/icon.svg' },
        miscLinks: [...boardLinks, ...links].map(({ path, text }) => ({
          url: path,
          text,
        })),
        hideDocsLink: true,
      },
    },
  });
  return [judge(audit), server.getRouter() as RequestHandler];
}

/** Refuses or records a state-changing request, and passes the user to the adapters. */
function judge(audit: AuditLog): RequestHandler {
  return async (req, res, next) => {
    const user = userOf(res);
    if (user === null) return sendProblem(res, problems.signedOut);
    if (isSafe(req.method)) return boardRequest.run({ user, isForAll: false }, next);
    const wanted = `${req.method} ${req.path}`;
    const write = writes.find(({ pattern }) => pattern.test(wanted));
    if (write === undefined) {
      const detail = 'Calls cannot be added, edited or removed here. An accepted call must not be lost.';
      return sendProblem(res, problemOf(problems.forbidden, detail));
    }
    if (!mayAct(user.role, write.role)) {
      return sendProblem(res, problemOf(problems.forbidden, `This requires the ${write.role} role.`));
    }
    const target = write.pattern.exec(wanted)?.[1];
    await audit.record({
      user: user.name,
      role: user.role,
      action: write.action,
      ...(target === undefined ? {} : { target: decodeURIComponent(target) }),
    });
    boardRequest.run({ user, isForAll: target === undefined }, next);
  };
}

type BoardQueue = { readonly name: string };

/**
 * Makes the board read-only for viewers and describes a held queue. The description counts due retries as waiting,
 * because BullMQ counts them as delayed while the queue is paused.
 */
function reshape(redis: Redis, upstreams: readonly AdminUpstream[]): NonNullable<BoardHooks['after']> {
  return async ({ route }, result) => {
    if (route !== '/api/queues') return result;
    const user = boardRequest.getStore()?.user;
    const buttons =
      user !== undefined && mayAct(user.role, 'operator') ? {} : { readOnlyMode: true, allowRetries: false };
    const { queues } = result.body as { queues: readonly BoardQueue[] };
    const shown = queues.map(async (queue) => {
      const upstream = upstreams.find(({ definition }) => definition.name === queue.name);
      const description = upstream === undefined ? null : await heldText(redis, upstream);
      return { ...queue, ...buttons, ...(description === null ? {} : { description }) };
    });
    return { ...result, body: { queues: await Promise.all(shown) } };
  };
}

async function heldText(redis: Redis, { holds, queue, root }: AdminUpstream): Promise<string | null> {
  const active = await holds.list();
  if (active.length === 0) return null;
  const { waiting, overdue } = await readQueueDepth({ redis, queue, root });
  const retries = countInWords(overdue, 'due retry', 'due retries');
  const due = overdue === 0 ? '' : `, including ${retries} counted as delayed`;
  return `Held by ${active.map(({ kind }) => kind).join(' and ')}: ${countInWords(waiting + overdue, 'call')}${due}.`;
}

/** Renders Bull Board's page without links to other hosts. */
class LocalExpressAdapter extends ExpressAdapter {
  override setEntryRoute({ method, route, handler }: AppViewRoute): this {
    const show: RequestHandler = (_req, res) => {
      const { name, params } = handler({ basePath: this.basePath, uiConfig: this.uiConfig });
      res.render(name, params, (error: Error | null, text?: string) => sendPage(res, error, text));
    };
    this.app[method](route, show);
    return this;
  }
}

function sendPage(res: Response, error: Error | null, text = ''): void {
  if (error !== null) throw error;
  res.type('html').send(withStrip(withoutOutsideLinks(text)));
}

/** Adds the colours, the theme and the breaker strip to the board's page. */
export function withStrip(text: string): string {
  const head =
    '<link rel="stylesheet" href="/assets/tokens.css"><link rel="stylesheet" href="/assets/board/board.css"><script type="module" src="/assets/board/strip.js"></script></head>';
  const strip = '<recloser-strip role="region" aria-label="Breakers"></recloser-strip><div id="root">';
  return text.replace('</head>', head).replace('<div id="root">', strip);
}

/** Removes links to other hosts and inline styles, which the content security policy refuses. */
export function withoutOutsideLinks(text: string): string {
  return text
    .replace(/<link\b[^>]*\bhref="(?:https?:)?\/\/[^"]*"[^>]*>/g, '')
    .replace(/<style\b[^>]*>.*?<\/style>/gs, '')
    .replace(/(<[a-z]+)\s+style="[^"]*"/g, '$1');
}
