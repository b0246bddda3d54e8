/**
 * The interactive sign-in in two steps: send a code to the phone, verify the code. `send-code` sends at most one
 * message and is never repeated automatically; the fleet sends at most one in 30 s. The state between the steps is
 * stored encrypted for 10 minutes. Messages are for the person on the sign-in page.
 */
import { randomUUID } from 'node:crypto';
import type { CookieJar } from 'tough-cookie';
import { z } from 'zod';
import type { UpstreamSettings } from '../contract/settings.ts';
import type { SignInResult } from '../contract/upstream.ts';
import {
  type Answer,
  type Exchange,
  type Http,
  newCookies,
  parseCookies,
  serializeCookies,
} from '../http/http.ts';
import { asksForPassword, ownBody } from '../http/own-answer.ts';
import { requestedPauseMs } from '../http/retry-after.ts';
import type { SessionStore } from '../session/store.ts';
import { isChallenge, isPage, judgePortal } from './classify.ts';
import { addresses, appHeaders, visit } from './portal.ts';
import { isExpired, newSessionData, tokenFrom } from './session.ts';
import type { AppToken } from './wire.ts';

const pendingTtlMs = 600_000;
const resendAfterMs = 30_000;
/** Longer than the steps before the message can take, so that the claim does not expire during them. */
const claimMs = 60_000;
const stepTimeoutMs = 10_000;

type Refused = Extract<SignInResult, { kind: 'refused' }>;

const pendingSchema = z.object({
  /** Distinguishes `send-code` steps that began at the same time. */
  ticket: z.string(),
  at: z.number(),
  /** The code works only with these cookies. */
  cookies: z.string(),
});
type Pending = z.infer<typeof pendingSchema>;

export type SignInParts = {
  readonly settings: Pick<
    UpstreamSettings,
    'baseUrl' | 'loginBaseUrl' | 'username' | 'password' | 'mfaCredentialId'
  >;
  readonly sessions: Pick<SessionStore, 'pending' | 'store' | 'budget'>;
  readonly http: Http;
};

/** Steps 1 to 3 of docs/upstreams/walmart-edr.md, "Sign-in": fresh cookies, the password, one text message. */
export async function sendCode(parts: SignInParts, signal: AbortSignal): Promise<SignInResult> {
  const { settings, sessions } = parts;
  if (!settings.username || !settings.password || !settings.mfaCredentialId) return notConfigured;
  const ticket = randomUUID();
  const waitMs = await sessions.pending.claimCode(ticket, claimMs);
  if (waitMs > 0) return tooSoon(Math.min(waitMs, resendAfterMs));

  const jar = newCookies();
  const refused = await logIn(parts, jar, signal);
  if (!refused) return textCode(parts, ticket, jar, signal);
  // Keep the 30 s after refused credentials too: wrong passwords in quick succession lock accounts.
  if (refused.code === 'credentials_refused') await sessions.pending.claimCode(ticket, resendAfterMs);
  else await sessions.pending.releaseCode(ticket);
  return refused;
}

/** Steps 4 to 7: the code, the portal, the app token. Then the session is stored for the fleet. */
export async function verifyCode(
  parts: SignInParts,
  code: string,
  signal: AbortSignal,
): Promise<SignInResult> {
  const { settings, sessions } = parts;
  const typed = code.trim();
  if (!/^\d{6}$/.test(typed)) return refuse('code_malformed', 'The code has 6 digits. Enter it again.');
  const pending = await loadPending(sessions);
  if (!pending) return noPending;
  const jar = parseCookies(pending.cookies);
  const answer = await post(parts, jar, signal, addresses(settings).validateCode, {
    type: 'SMS_OTP',
    credid: settings.mfaCredentialId,
    code: typed,
    failureCount: 0,
  });
  const refused = judgeStep(answer, codeRefusal);
  if (refused) {
    await keepForAnotherTry(sessions, pending, jar);
    return refused;
  }
  // The code works once. After a later failure the person needs a new one.
  const token = await openApp(parts, jar, signal);
  if (!token) {
    await forget(sessions, pending);
    return noToken;
  }
  await sessions.store(newSessionData(jar, token));
  return { kind: 'signed-in' };
}

async function logIn(parts: SignInParts, jar: CookieJar, signal: AbortSignal): Promise<Refused | null> {
  const { loginPage, login } = addresses(parts.settings);
  const { exchange } = await visit(visitor(parts, jar, signal), { url: loginPage });
  // Only its cookies matter. The login itself shows any other problem.
  if (exchange.kind !== 'answer') return judgeStep(exchange, loginRefusal);
  const budgeted = await parts.sessions.budget.take();
  if (budgeted.kind === 'wait') return tooManySignIns(budgeted.forMs);
  const { username, password } = parts.settings;
  const answer = await post(parts, jar, signal, login, { username, password, language: 'en' });
  if (answer.kind === 'not_sent') await parts.sessions.budget.giveBack(budgeted.ticket);
  return judgeStep(answer, loginRefusal);
}

async function textCode(
  parts: SignInParts,
  ticket: string,
  jar: CookieJar,
  signal: AbortSignal,
): Promise<SignInResult> {
  const { settings, sessions } = parts;
  // The 30 s start here. If our claim expired meanwhile, another message may be on its way.
  const waitMs = await sessions.pending.claimCode(ticket, resendAfterMs);
  if (waitMs > 0) return tooSoon(Math.min(waitMs, resendAfterMs));
  const sent: Pending = { ticket, at: Date.now(), cookies: serializeCookies(jar) };
  // Saved before the message is sent, so that the code still works if this worker dies right after it.
  await sessions.pending.save(sent, pendingTtlMs);
  const answer = await post(parts, jar, signal, addresses(settings).sendCode, {
    type: 'SMS_OTP',
    credid: settings.mfaCredentialId,
  });
  if (answer.kind === 'no_answer') return maybeSent;
  const refused = judgeStep(answer, sendRefusal);
  if (refused) {
    await forget(sessions, sent);
    return refused;
  }
  await sessions.pending.save({ ...sent, cookies: serializeCookies(jar) }, pendingTtlMs);
  return { kind: 'code-sent' };
}

/** Steps 5 to 7. The portal pages only set cookies. The last step shows whether they worked. */
async function openApp(parts: SignInParts, jar: CookieJar, signal: AbortSignal): Promise<AppToken | null> {
  const { pageDetails, portal, app, authenticate } = addresses(parts.settings);
  const query = { pageId: '6', pageSubId: 'w6040', pageSubDesc: 'Event Management System' };
  await visit(visitor(parts, jar, signal), { url: pageDetails, query });
  await visit(visitor(parts, jar, signal), { url: portal });
  await visit(visitor(parts, jar, signal), { url: app });
  const headers = appHeaders(parts.settings);
  // A read, so a second try is safe and may save the person a second code.
  for (let tries = 0; tries < 2 && !signal.aborted; tries += 1) {
    const { exchange, token } = await visit(visitor(parts, jar, signal), { url: authenticate, headers });
    const found = token ?? usableToken(exchange, parts, authenticate);
    if (found && !isExpired(found, Date.now())) return found;
  }
  return null;
}

function usableToken(exchange: Exchange, { settings }: SignInParts, requestUrl: string): AppToken | null {
  const { loginBaseUrl } = settings;
  const { kind } = judgePortal(exchange, { requestUrl, loginBaseUrl, nowMs: Date.now() });
  return exchange.kind === 'answer' && kind === 'own' ? tokenFrom(exchange) : null;
}

function post(
  { http }: SignInParts,
  cookies: CookieJar,
  signal: AbortSignal,
  url: string,
  json: unknown,
): Promise<Exchange> {
  const headers = { accept: 'application/json' };
  return http.send({ method: 'POST', url, json, headers, cookies, signal: withTimeout(signal) });
}

function visitor({ http, settings }: SignInParts, cookies: CookieJar, signal: AbortSignal) {
  return { http, settings, cookies, signal: withTimeout(signal) };
}

function withTimeout(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(stepTimeoutMs)]);
}

/** Judges a step. Null: Walmart accepted it, which any 2xx that is not a page means. */
function judgeStep(exchange: Exchange, refusal: (answer: Answer) => Refused): Refused | null {
  if (exchange.kind === 'not_sent') return unreachable;
  if (exchange.kind === 'no_answer') return silent;
  const { status } = exchange;
  if (status === 429) return tooManyRequests(requestedPauseMs(exchange.headers['retry-after'], Date.now()));
  if (status >= 500 || status === 408 || status === 425) return broken(status);
  if (isChallenge(exchange)) return challenged;
  if (asksForPassword(exchange)) return refusal(exchange);
  if (isPage(exchange) && (status === 403 || status < 300)) return challenged;
  if (status < 300) return null;
  return status < 400 || status === 404 || !ownBody(exchange) ? broken(status) : refusal(exchange);
}

function loginRefusal(): Refused {
  return refuse(
    'credentials_refused',
    'Walmart refused the user name or password. Correct WALMART_EDR_USERNAME and WALMART_EDR_PASSWORD before you try again. Too many failed sign-ins lock the account.',
  );
}

function sendRefusal({ status }: Answer): Refused {
  return refuse(
    'send_code_refused',
    `Walmart accepted the password but did not send a code (status ${status}). Check WALMART_EDR_MFA_CREDENTIAL_ID.`,
  );
}

function codeRefusal({ status, body }: Answer): Refused {
  // The real wording is not recorded. In both cases the person can request a new code.
  return status === 410 || /expired/i.test(body)
    ? refuse('code_expired', 'The code has expired. Request a new one.')
    : refuse(
        'code_refused',
        'Walmart did not accept the code. Check it and enter it again, or request a new one.',
      );
}

async function loadPending(sessions: SignInParts['sessions']): Promise<Pending | null> {
  const pending = pendingSchema.safeParse(await sessions.pending.load());
  return pending.success ? pending.data : null;
}

/** A mistyped code may be entered again until it expires, with the current cookies. */
async function keepForAnotherTry(sessions: SignInParts['sessions'], pending: Pending, jar: CookieJar) {
  const leftMs = pending.at + pendingTtlMs - Date.now();
  const current = await loadPending(sessions);
  if (leftMs <= 0 || current?.ticket !== pending.ticket) return;
  await sessions.pending.save({ ...pending, cookies: serializeCookies(jar) }, leftMs);
}

/** Drops a used code, unless a newer one was sent. The 30 s between two messages still apply. */
async function forget(sessions: SignInParts['sessions'], pending: Pending): Promise<void> {
  const current = await loadPending(sessions);
  if (current?.ticket === pending.ticket) await sessions.pending.clear();
}

function tooSoon(waitMs: number): Refused {
  const seconds = Math.ceil(waitMs / 1_000);
  return refuse('too_soon', `A code was just requested. Wait ${seconds} s before you request another one.`);
}

function tooManySignIns(waitMs: number): Refused {
  return refuse(
    'too_many_sign_ins',
    `There were too many sign-ins in the last 15 minutes. More could lock the account. Try again after ${Math.ceil(waitMs / 60_000)} min.`,
  );
}

function tooManyRequests(waitMs: number | null): Refused {
  const wait = waitMs === null ? 'a while' : `${Math.ceil(waitMs / 1_000)} s`;
  return refuse('rate_limited', `Walmart rate-limited the request. Try again after ${wait}.`);
}

function broken(status: number): Refused {
  return refuse(
    'upstream_error',
    `Walmart's login host answered with an error (status ${status}). Try again later.`,
  );
}

function refuse(code: string, message: string): Refused {
  return { kind: 'refused', code, message };
}

const notConfigured = refuse(
  'not_configured',
  'Set WALMART_EDR_USERNAME, WALMART_EDR_PASSWORD and WALMART_EDR_MFA_CREDENTIAL_ID for the workers.',
);
const noPending = refuse('no_pending_code', 'No code was sent in the last 10 minutes. Request a code first.');
const noToken = refuse(
  'no_app_token',
  'The code was correct, but Walmart EDR did not issue an app token. The code cannot be used again. Request a new one.',
);
const maybeSent = refuse(
  'code_maybe_sent',
  'Walmart did not answer in time. If a code arrives on the phone, enter it. Otherwise request a new one after 30 s.',
);
const unreachable = refuse('unreachable', "Walmart's login host could not be reached. Try again later.");
const silent = refuse('no_answer', "Walmart's login host did not answer in time. Try again.");
const challenged = refuse(
  'challenged',
  'Walmart answered with a bot check. It currently blocks sign-ins from Recloser. Try again later.',
);
