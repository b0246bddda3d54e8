/**
 * Bull Board at /queues over the queue of every upstream. Always true: viewers read, operators retry, promote,
 * pause and resume; nobody adds, edits or removes calls here, because an accepted call must not get lost.
 */
import { createBullBoard } from '@bull-board/api';
import type { AppViewRoute, BoardHooks } from '@bull-board/api/typings/app';
import { ExpressAdapter } from '@bull-board/express';
import type { RequestHandler, Response } from 'express';
import { mayAct, type Role } from './accounts.ts';
import type { AdminUpstream } from './admin-upstream.ts';
import type { AuditLog } from './audit.ts';
import { boardRequest, UpstreamQueueAdapter } from './board-adapter.ts';
import { isSafe } from './guard.ts';
import type { NavigationLink } from './page.ts';
import { problemOf, problems, sendProblem } from './problem.ts';
import { userOf } from './sessions.ts';

/** Where the board lives. */
export const boardPath = '/queues';

type BoardWrite = { readonly pattern: RegExp; readonly action: string; readonly role: Role };

/** What may be written through the board; everything else is refused. */
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

/** What the board needs; `links` are shown in its menu. */
export type BoardDeps = {
  readonly upstreams: readonly AdminUpstream[];
  readonly audit: AuditLog;
  readonly links: readonly NavigationLink[];
};

/** The board's handlers, to be mounted at `boardPath` behind the login. */
export function createBoard({ upstreams, audit, links }: BoardDeps): RequestHandler[] {
  const server = new LocalExpressAdapter();
  server.setBasePath(boardPath);
  createBullBoard({
    queues: upstreams.map((upstream) => new UpstreamQueueAdapter(upstream)),
    serverAdapter: server,
    options: {
      handlerHooks: { after: hideButtons },
      uiConfig: {
        boardTitle: 'Recloser',
        boardLogo: { path: '/assets/icon.svg', width: 24, height: 24 },
        favIcon: { default: '/assets/icon.svg', alternative: '/assets/icon.svg' },
        miscLinks: [{ path: '/breakers', text: 'Breakers' }, ...links].map(({ path, text }) => ({
          url: path,
          text,
        })),
        hideDocsLink: true,
      },
    },
  });
  return [judge(audit), server.getRouter() as RequestHandler];
}

/** Refuses what may not be written, records what may, and tells the adapters who is behind it. */
function judge(audit: AuditLog): RequestHandler {
  return async (req, res, next) => {
    const user = userOf(res);
    if (user === null) return sendProblem(res, problems.signedOut);
    if (isSafe(req.method)) return boardRequest.run({ user, isForAll: false }, next);
    const wanted = `${req.method} ${req.path}`;
    const write = writes.find(({ pattern }) => pattern.test(wanted));
    if (write === undefined) {
      const detail = 'Calls are not added, edited or removed here: what was accepted must not get lost.';
      return sendProblem(res, problemOf(problems.forbidden, detail));
    }
    if (!mayAct(user.role, write.role)) {
      return sendProblem(res, problemOf(problems.forbidden, `This needs the role ${write.role}.`));
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

/** Who may only look gets a board without buttons; `judge` refuses the requests all the same. */
const hideButtons: NonNullable<BoardHooks['after']> = ({ route }, result) => {
  const user = boardRequest.getStore()?.user;
  if (route !== '/api/queues' || (user !== undefined && mayAct(user.role, 'operator'))) return result;
  const { queues } = result.body as { queues: readonly object[] };
  return {
    ...result,
    body: { queues: queues.map((queue) => ({ ...queue, readOnlyMode: true, allowRetries: false })) },
  };
};

/** Bull Board's own page without what it would load from a font host. */
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
  res.type('html').send(withoutOutsideLinks(text));
}

/** Removes links to other hosts, and the inline styles of the loading animation that the policy refuses. */
export function withoutOutsideLinks(text: string): string {
  return text
    .replace(/<link\b[^>]*\bhref="(?:https?:)?\/\/[^"]*"[^>]*>/g, '')
    .replace(/<style\b[^>]*>.*?<\/style>/gs, '')
    .replace(/(<[a-z]+)\s+style="[^"]*"/g, '$1');
}
