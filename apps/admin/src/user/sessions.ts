/**
 * The session cookie and the user of a request. A session contains only a name and a stamp; the role is looked up in
 * the accounts on every request.
 */
import { hkdfSync } from 'node:crypto';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import session from 'express-session';
import type { Accounts, User } from './accounts.ts';
import { RedisSessionStore } from './session-store.ts';

declare module 'express-session' {
  interface SessionData {
    account?: { name: string; stamp: string };
  }
}

/** A session ends after this time without a request. */
const sessionIdleMs = 8 * 60 * 60 * 1000;

/** Derives a key from SESSION_KEY. Each `purpose` gives a different key. */
export function deriveKey(sessionKey: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', sessionKey, 'recloser-admin', purpose, 32));
}

/** The session middleware. The cookie is HttpOnly, SameSite=Strict, and Secure behind https. */
export function createSessions(deps: { redis: Redis; prefix: string; sessionKey: Buffer }): RequestHandler {
  return session({
    name: 'recloser.admin',
    secret: deriveKey(deps.sessionKey, 'session-cookie').toString('base64url'),
    store: new RedisSessionStore({ redis: deps.redis, prefix: deps.prefix, idleMs: sessionIdleMs }),
    resave: false,
    saveUninitialized: false,
    rolling: true,
    cookie: { httpOnly: true, sameSite: 'strict', secure: 'auto', maxAge: sessionIdleMs, path: '/' },
  });
}

/** Stores the logged-in user for `userOf`. */
export function identify(accounts: Accounts): RequestHandler {
  return (req: Request, res: Response, next: NextFunction) => {
    const account = req.session.account;
    res.locals.user = account === undefined ? null : accounts.find(account.name, account.stamp);
    next();
  };
}

/** The logged-in user of this request, or null. */
export function userOf(res: Response): User | null {
  return (res.locals.user as User | null | undefined) ?? null;
}

/** Starts a session with a new id, which prevents session fixation. */
export async function startSession(req: Request, account: { name: string; stamp: string }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    req.session.regenerate((error: unknown) => (error ? reject(error) : resolve()));
  });
  req.session.account = account;
  await new Promise<void>((resolve, reject) => {
    req.session.save((error: unknown) => (error ? reject(error) : resolve()));
  });
}

/** Ends the session. Does nothing without one. */
export async function endSession(req: Request): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    req.session.destroy((error: unknown) => (error ? reject(error) : resolve()));
  });
}
