/**
 * One sign-in to Crossmark (upstreams.md A1) and what its answer means.
 *
 * Always true: one request, never repeated here. What looks like wrong credentials is said to be `refused`, even
 * in doubt, because more tries could lock the account; only clear signs of an outage are `failed`.
 */
import type { CookieJar } from 'tough-cookie';
import type { UpstreamSettings } from '../contract/settings.ts';
import { type Exchange, type Http, newCookies, serializeCookies } from '../http/http.ts';
import { retryAfterMs } from '../http/retry-after.ts';
import type { FailedOutcome, SignInAnswer } from '../session/store.ts';
import { outcomeMessages, rateLimitOutcome, retryOutcome, signInHoldOutcome } from './outcome-codes.ts';
import { signInRequest } from './requests.ts';
import { signInAnswer } from './wire.ts';

/** What a Crossmark session keeps. */
export type CrossmarkSession = { readonly cookies: string };

const sessionCookie = 'PHPSESSID';
const defaultRateLimitMs = 5_000;

/** Signs in once with the settings' credentials. Never rejects for what Crossmark or the network did. */
export async function signIn(
  http: Http,
  settings: UpstreamSettings,
  signal: AbortSignal,
): Promise<SignInAnswer> {
  const cookies = newCookies();
  const exchange = await http.send({ ...signInRequest(settings, settings), cookies, signal });
  return judgeSignIn(exchange, cookies, Date.now());
}

/** What a sign-in exchange shows. `cookies`: the jar it was made with. Pure. */
export function judgeSignIn(exchange: Exchange, cookies: CookieJar, nowMs: number): SignInAnswer {
  if (exchange.kind !== 'answer') {
    const ours = exchange.code === 'ERR_ABORTED';
    return failed(retryOutcome(ours ? 'unknown' : 'down', { code: 'sign_in_failed' }));
  }
  const { status } = exchange;
  if (status === 401 || status === 403) return refused;
  const pauseMs = retryAfterMs(exchange.headers['retry-after'], nowMs);
  if (status === 429) {
    return failed(rateLimitOutcome(pauseMs ?? defaultRateLimitMs, { code: 'rate_limited', status }));
  }
  if (status === 503 && pauseMs !== null) {
    return failed(rateLimitOutcome(pauseMs, { code: 'unavailable', status }));
  }
  if (status >= 500 || status === 408 || status === 425) return down(status);
  if (status >= 400) return failed(signInHoldOutcome(checkAddress, { code: 'sign_in_rejected', status }));
  switch (bodyVerdict(status, exchange.location ?? '', exchange.body)) {
    case 'refused':
      return refused;
    case 'unreadable':
      return down(status);
    default:
  }
  const session: CrossmarkSession = { cookies: serializeCookies(cookies) };
  const signedIn = cookies.serializeSync()?.cookies.some(({ key }) => key === sessionCookie);
  // Accepted, but with nothing to go on with: trying again is harmless, the credentials are good.
  return signedIn
    ? { kind: 'signed-in', data: session }
    : failed(retryOutcome('unknown', { code: 'sign_in_failed', status }));
}

function bodyVerdict(status: number, location: string, body: string): 'ok' | 'refused' | 'unreadable' {
  // The origin followed redirects and then looked for the word; leading away from the login page is the same sign.
  if (status >= 300) return location === '' || /login/i.test(location) ? 'refused' : 'ok';
  const text = body.trim();
  if (text === '') return 'unreadable';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // A page: only the one with the schedule on it is a yes. Anything else that is cut JSON is no verdict at all.
    if (text.includes('Scheduling')) return 'ok';
    return /^[[{"]/.test(text) ? 'unreadable' : 'refused';
  }
  const parsed = signInAnswer.safeParse(json);
  if (!parsed.success) return 'refused';
  const { redirectUrl, success } = parsed.data;
  if (typeof redirectUrl === 'string' && redirectUrl !== '')
    return /login/i.test(redirectUrl) ? 'refused' : 'ok';
  return success === true || success === 1 ? 'ok' : 'refused';
}

const refused: SignInAnswer = {
  kind: 'refused',
  code: 'sign_in_refused',
  message: outcomeMessages.sign_in_refused,
};

const checkAddress =
  'Crossmark refused the sign-in request itself. Check CROSSMARK_BASE_URL and restart the workers: they sign in and go on by themselves. Or release this hold: the sign-in is then tried once more.';

function down(status: number): SignInAnswer {
  return failed(retryOutcome('down', { code: 'sign_in_failed', status }));
}

function failed(outcome: FailedOutcome): SignInAnswer {
  return { kind: 'failed', outcome };
}
