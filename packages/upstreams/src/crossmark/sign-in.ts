/**
 * Signs in to Crossmark with one request. See docs/upstreams/crossmark.md, "Sign-in". Only Crossmark's own answer can
 * refuse credentials. A page without a password field is an outage.
 */
import type { CookieJar } from 'tough-cookie';
import type { UpstreamSettings } from '../contract/settings.ts';
import { cookieNames } from '../http/bound-cookies.ts';
import { type Exchange, type Http, newCookies, serializeCookies } from '../http/http.ts';
import { judgeExchange } from '../http/judge-exchange.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import { asksForPassword, ownBody } from '../http/own-answer.ts';
import type { SignInAnswer } from '../session/renewal.ts';
import type { SignInBudget } from '../session/sign-in-budget.ts';
import { crossmarkDialect } from './classify.ts';
import { outcomes } from './outcome-codes.ts';
import { signInRequest } from './requests.ts';
import { signInAnswer } from './wire.ts';

/** The data of a Crossmark session. `own`: names of the cookies that the sign-in set. */
export type CrossmarkSession = { readonly cookies: string; readonly own: readonly string[] };

export const sessionCookie = 'PHPSESSID';

/** Signs in once. Never rejects because of Crossmark or the network. */
export async function signIn(
  http: Http,
  settings: UpstreamSettings,
  budget: Pick<SignInBudget, 'take' | 'giveBack'>,
  signal: AbortSignal,
): Promise<SignInAnswer> {
  const budgeted = await budget.take();
  if (budgeted.kind === 'wait') {
    const { forMs } = budgeted;
    const outcome = outcomes.signInHold(tooMany, { code: 'sign_in_limit' }, forMs);
    return { kind: 'failed', outcome, waitMs: forMs };
  }
  const cookies = newCookies();
  const exchange = await http.send({ ...signInRequest(settings, settings), cookies, signal });
  if (exchange.kind === 'not_sent') await budget.giveBack(budgeted.ticket);
  return judgeSignIn(exchange, cookies, Date.now());
}

/** Judges a sign-in exchange. `cookies`: its jar. Pure. */
export function judgeSignIn(exchange: Exchange, cookies: CookieJar, nowMs: number): SignInAnswer {
  const judged = judgeExchange(exchange, { dialect: crossmarkDialect, sending: 'read', nowMs });
  if (judged.kind === 'snooze') return failed(judged);
  if (exchange.kind !== 'answer') {
    const health = judged.kind === 'retry' ? judged.health : 'unknown';
    return failed(outcomes.retry(health, { code: 'sign_in_failed' }));
  }
  const { status } = exchange;
  const down = failed(outcomes.retry('down', { code: 'sign_in_failed', status }));
  if (asksForPassword(exchange)) return refused;
  const own = ownBody(exchange);
  if (status === 401 || status === 403) return own ? refused : down;
  if (status >= 400 || exchange.bodyLost !== undefined) return down;
  const verdict = own ? jsonVerdict(own.value) : pageVerdict(status, exchange.location ?? '', exchange.body);
  if (verdict === 'refused') return refused;
  if (verdict === 'unclear') return down;
  const signedIn = cookies.serializeSync()?.cookies.some(({ key }) => key === sessionCookie);
  const session: CrossmarkSession = { cookies: serializeCookies(cookies), own: cookieNames(cookies) };
  // Accepted, but without a session cookie. The credentials are good, so a retry is harmless.
  return signedIn
    ? { kind: 'signed-in', data: session }
    : failed(outcomes.retry('unknown', { code: 'sign_in_failed', status }));
}

/** Crossmark answers a successful sign-in with its application page or a redirect to it. */
function pageVerdict(status: number, location: string, body: string): 'ok' | 'unclear' {
  if (status >= 300) return location === '' || /login/i.test(location) ? 'unclear' : 'ok';
  return body.includes('Scheduling') ? 'ok' : 'unclear';
}

function jsonVerdict(json: unknown): 'ok' | 'refused' | 'unclear' {
  const parsed = signInAnswer.safeParse(json);
  if (!parsed.success) return 'unclear';
  const { redirectUrl, success } = parsed.data;
  if (typeof redirectUrl === 'string' && redirectUrl !== '') {
    return /login/i.test(redirectUrl) ? 'refused' : 'ok';
  }
  if (success === undefined) return 'unclear';
  return success === true || success === 1 ? 'ok' : 'refused';
}

const refused: SignInAnswer = {
  kind: 'refused',
  code: 'sign_in_refused',
  message: 'Crossmark refused the user name or password.',
};

const tooMany =
  'There were too many sign-ins to Crossmark in the last 15 minutes. More could lock the account. The next sign-in is made when this hold ends.';

function failed(outcome: FailedOutcome): SignInAnswer {
  const pause = outcome.kind === 'snooze' && outcome.hold?.kind === 'rate-limit' ? outcome.hold : null;
  return { kind: 'failed', outcome, ...(pause && { waitMs: pause.delayMs }) };
}
