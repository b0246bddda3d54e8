/** Access control: roles, same-origin requests and JSON bodies. */
import type { Request, RequestHandler, Response } from 'express';
import express from 'express';
import { problemOf, problems, sendProblem } from '../page/problem.ts';
import { mayAct, type Role } from '../user/accounts.ts';
import { userOf } from '../user/sessions.ts';

/** Without a session, a `page` redirects to the login and an `api` route returns 401. */
type Audience = 'page' | 'api';

/** One row of the route table. */
export type Route = {
  readonly method: 'get' | 'post';
  readonly path: string;
  /** The least role that may use it. */
  readonly role: Role;
  readonly audience: Audience;
  readonly handle: (req: Request, res: Response) => void | Promise<void>;
};

/** Requires a session with at least this role. */
export function allow(role: Role, audience: Audience): RequestHandler {
  return (req, res, next) => {
    const user = userOf(res);
    if (user === null) {
      if (audience === 'api') return sendProblem(res, problems.signedOut);
      return res.redirect(303, `/login?next=${encodeURIComponent(req.originalUrl)}`);
    }
    if (!mayAct(user.role, role)) {
      const detail = `This requires the ${role} role. You are logged in as ${user.name} (${user.role}).`;
      return sendProblem(res, problemOf(problems.forbidden, detail));
    }
    next();
  };
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/** True for methods that change nothing. */
export function isSafe(method: string): boolean {
  return safeMethods.has(method);
}

/**
 * Refuses a state-changing request from a page of another site. Browsers set Sec-Fetch-Site, which pages cannot forge.
 * Over plain http it is missing, so Origin is compared with the host. A request without both headers comes from a
 * script, not from a browser.
 */
export const sameOrigin: RequestHandler = (req, res, next) => {
  if (isSafe(req.method) || isFromHere(req)) next();
  else sendProblem(res, problems.crossOrigin);
};

function isFromHere(req: Request): boolean {
  const site = req.get('Sec-Fetch-Site');
  if (site !== undefined) return site === 'same-origin';
  const origin = req.get('Origin');
  return origin === undefined || hostOf(origin) === req.host;
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}

/** Accepts only JSON bodies: a form on another site cannot send that content type. */
export const jsonBody: RequestHandler[] = [
  (req, res, next) => {
    if (isSafe(req.method) || req.is('application/json') === 'application/json') return next();
    // `send-code` has no body.
    if (req.is('application/json') === null && req.get('Content-Type') === undefined) return next();
    sendProblem(res, problems.notJson);
  },
  express.json({ limit: '16kb' }),
];
