/** The data of a Walmart EDR session, and how it follows the cookies that answers rotate. All of it is secret. */
import type { CookieJar } from 'tough-cookie';
import { z } from 'zod';
import { boundCookies, cookieNames } from '../http/bound-cookies.ts';
import { type Answer, cookieState, parseCookies, serializeCookies } from '../http/http.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import { ownBody } from '../http/own-answer.ts';
import type { Session } from '../session/renewal.ts';
import { type AppToken, readTokenCookie, readTokenRecord } from './wire.ts';

const sessionData = z.object({
  cookies: z.string(),
  token: z.string(),
  expiresAt: z.number().nullable(),
  /** Names of the cookies that the sign-in set. */
  own: z.array(z.string()).default([]),
  /** Set if the last renewal of the token failed. All waiters share this outcome. */
  renewal: z.custom<FailedOutcome>((value) => typeof value === 'object' && value !== null).optional(),
});

/** `expiresAt`: expiry of the app token in ms since the epoch, null if unknown. */
export type SessionData = z.infer<typeof sessionData>;

/** A session in use by one attempt, with its own jar. */
export type HeldSession = {
  readonly id: string;
  readonly revision: number;
  readonly data: SessionData;
  readonly jar: CookieJar;
};

/** Opens a stored session. Null if there is none, or if it is unreadable (stored by another release). */
export function holdSession(session: Session | null): HeldSession | null {
  const data = sessionData.safeParse(session?.data);
  if (!session || !data.success) return null;
  const { id, revision } = session;
  try {
    const jar = parseCookies(data.data.cookies);
    boundCookies(jar, data.data.own);
    return { id, revision, data: data.data, jar };
  } catch {
    return null;
  }
}

/** The session data after a sign-in or a renewal. `own`: pass that of the renewed session. */
export function newSessionData(
  jar: CookieJar,
  { token, expiresAt }: AppToken,
  own: readonly string[] = cookieNames(jar),
): SessionData {
  return { cookies: serializeCookies(jar), token, expiresAt, own: [...own] };
}

export function isExpired({ expiresAt }: { readonly expiresAt: number | null }, nowMs: number): boolean {
  return expiresAt !== null && expiresAt <= nowMs;
}

/** The app token in an answer: in the `auth-token` cookie or, as one client recorded, in the body. */
export function tokenFrom(answer: Answer): AppToken | null {
  return tokenFromCookies(answer) ?? tokenFromBody(answer);
}

/** The app token in an answer's `auth-token` cookie, or null. */
export function tokenFromCookies(answer: Answer): AppToken | null {
  const header = answer.headers['set-cookie'];
  const lines = typeof header === 'string' ? [header] : (header ?? []);
  for (const line of lines) {
    const value = /^\s*auth-token\s*=\s*([^;]+)/i.exec(line)?.[1];
    const token = value === undefined ? null : readTokenCookie(value.trim());
    if (token) return token;
  }
  return null;
}

function tokenFromBody(answer: Answer): AppToken | null {
  const own = ownBody(answer);
  return own && readTokenRecord(own.value);
}

/**
 * The session's data after `answer`, or null if the answer changed nothing. `latest` is the session's newest data:
 * cookies that a parallel answer rotated stay, and only this answer's changes are applied.
 */
export function afterAnswer(held: HeldSession, latest: SessionData, answer: Answer): SessionData | null {
  const token = tokenFromCookies(answer);
  const before = parseCookies(held.data.cookies);
  const changedCookies = cookieState(held.jar) !== cookieState(before);
  if (!changedCookies && (!token || token.token === latest.token)) return null;
  const { token: current, expiresAt } = token ?? latest;
  const jar = parseCookies(mergeCookies(before, held.jar, latest.cookies));
  boundCookies(jar, latest.own);
  return { cookies: serializeCookies(jar), token: current, expiresAt, own: latest.own };
}

type StoredCookies = NonNullable<ReturnType<CookieJar['serializeSync']>>;

function mergeCookies(before: CookieJar, after: CookieJar, latest: string): string {
  const known = new Map(cookiesOf(before).map((cookie) => [nameOf(cookie), contentOf(cookie)]));
  const target = JSON.parse(latest) as StoredCookies;
  const merged = new Map(target.cookies.map((cookie) => [nameOf(cookie), cookie]));
  for (const cookie of cookiesOf(after)) {
    if (known.get(nameOf(cookie)) !== contentOf(cookie)) merged.set(nameOf(cookie), cookie);
    known.delete(nameOf(cookie));
  }
  // The remaining cookies were in the jar before and have expired.
  for (const name of known.keys()) merged.delete(name);
  return JSON.stringify({ ...target, cookies: [...merged.values()] });
}

function cookiesOf(jar: CookieJar): StoredCookies['cookies'] {
  return jar.serializeSync()?.cookies ?? [];
}

function nameOf(cookie: StoredCookies['cookies'][number]): string {
  return JSON.stringify([cookie.domain, cookie.path, cookie.key]);
}

function contentOf(cookie: StoredCookies['cookies'][number]): string {
  return JSON.stringify([cookie.value, cookie.expires, cookie.maxAge]);
}
