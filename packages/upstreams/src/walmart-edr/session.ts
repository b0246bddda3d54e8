/**
 * What a signed-in session of Walmart EDR consists of, and how it follows the cookies that replies rotate.
 *
 * Always true: everything in here is secret and leaves this process only sealed, through the session store.
 */
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
  /** The names of the cookies that the sign-in left. */
  own: z.array(z.string()).default([]),
  /** Set when the last try to renew the token got nowhere: those who waited for it share the outcome. */
  renewal: z.custom<FailedOutcome>((value) => typeof value === 'object' && value !== null).optional(),
});

/** What the session store keeps for us. `expiresAt`: ms epoch of the app token's end, null: unknown. */
export type SessionData = z.infer<typeof sessionData>;

/** A session in use by one attempt, with a jar of its own. */
export type HeldSession = {
  readonly id: string;
  readonly revision: number;
  readonly data: SessionData;
  readonly jar: CookieJar;
};

/** Opens a stored session for use; null for none and for one that cannot be read (another release's). */
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

/** Makes the data of a session out of what a sign-in or a renewal left. `own`: as `SessionData`, of a renewed one. */
export function newSessionData(
  jar: CookieJar,
  { token, expiresAt }: AppToken,
  own: readonly string[] = cookieNames(jar),
): SessionData {
  return { cookies: serializeCookies(jar), token, expiresAt, own: [...own] };
}

/** True when the app token is known to be over: asking would only show what is known already. */
export function isExpired({ expiresAt }: { readonly expiresAt: number | null }, nowMs: number): boolean {
  return expiresAt !== null && expiresAt <= nowMs;
}

/** The app token an answer hands out: as the `auth-token` cookie, or (one client saw that) in the body. */
export function tokenFrom(answer: Answer): AppToken | null {
  return tokenFromCookies(answer) ?? tokenFromBody(answer);
}

/** The app token an answer sets as a cookie, or null. */
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
 * The session's data after `answer`, or null when the answer changed nothing. `latest` is what the process
 * knows by now: cookies that a neighbour's reply rotated meanwhile stay, only our own changes are laid on top.
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
  // What is left was in our jar before and is gone: the jar drops a cookie once it has expired.
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
