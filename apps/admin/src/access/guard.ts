/**
 * Who may reach what. Always true: every route of the table is behind `allow`, and whatever can change
 * something is behind `sameOrigin` as well.
 */
import type { Request, RequestHandler, Response } from 'express';
import express from 'express';
import { problemOf, problems, sendProblem } from '../page/problem.ts';
import { mayAct, type Role } from '../user/accounts.ts';
import { userOf } from '../user/sessions.ts';

/** `page`: people, sent to the login page. `api`: scripts, told 401. */
export type Audience = 'page' | 'api';

/** One row of the route table. */
export type Route = {
  readonly method: 'get' | 'post';
  readonly path: string;
  /** The least role that may use it. */
  readonly role: Role;
  readonly audience: Audience;
  readonly handle: (req: Request, res: Response) => void | Promise<void>;
};

/** Lets through who is logged in with at least this role. */
export function allow(role: Role, audience: Audience): RequestHandler {
  return (req, res, next) => {
    const user = userOf(res);
    if (user === null) {
      if (audience === 'api') return sendProblem(res, problems.signedOut);
      return res.redirect(303, `/login?next=${encodeURIComponent(req.originalUrl)}`);
    }
    if (!mayAct(user.role, role)) {
      const detail = `This needs the role ${role}; you are logged in as ${user.name}, a ${user.role}.`;
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
 * Refuses a writing request that a page of another site made. A browser says so itself in Sec-Fetch-Site
 * and no page can forge that; where it is missing (plain http) Origin is held against our own host. A
 * script sends neither and has no cookie to abuse.
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

/** Takes JSON bodies and nothing else: a form of another site cannot send that type. */
export const jsonBody: RequestHandler[] = [
  (req, res, next) => {
    if (isSafe(req.method) || req.is('application/json') === 'application/json') return next();
    // Without a body there is nothing to mistake; `send-code` needs none.
    if (req.is('application/json') === null && req.get('Content-Type') === undefined) return next();
    sendProblem(res, problems.notJson);
  },
  express.json({ limit: '16kb' }),
];
