/**
 * Makes requests in the fleet's session: signs in if there is none or it has ended, sends the same request once more,
 * and saves changed cookies. Within one attempt there is at most one sign-in and one repeat. A write is repeated only
 * if it is proved that it was not done.
 */
import type { CookieJar } from 'tough-cookie';
import { z } from 'zod';
import { boundCookies } from '../http/bound-cookies.ts';
import { cookieState, type Http, parseCookies, serializeCookies } from '../http/http.ts';
import type { SignedOut } from '../http/judge-exchange.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import type { ClientOptions } from '../session/client-options.ts';
import { credentialsFingerprint } from '../session/credentials.ts';
import type { Renewal, Session } from '../session/renewal.ts';
import type { ReadValue } from './classify.ts';
import { outcomes } from './outcome-codes.ts';
import { type CrossmarkSession, sessionCookie, signIn } from './sign-in.ts';

/** Pause after a sign-in that Crossmark accepted but does not honour. It may be a passing fault. */
const signedOutAgainMs = 30_000;
const sessionReplacedMs = 1_000;

const sessionData = z.object({ cookies: z.string(), own: z.array(z.string()).default([sessionCookie]) });

/** A request in a session. */
export type InSession<T> = {
  readonly sending: 'read' | 'write';
  readonly signal: AbortSignal;
  send(cookies: CookieJar): Promise<T | SignedOut>;
  /** A small read that shows whether the session is alive. */
  look(cookies: CookieJar): Promise<ReadValue<unknown> | SignedOut | FailedOutcome>;
};

/** `known`: the cookies as they were last loaded or saved. See `cookieState`. */
type Jar = {
  readonly id: string;
  readonly revision: number;
  readonly cookies: CookieJar;
  readonly own: readonly string[];
  known: string;
};

/** A session in use. `fresh`: it was signed in during this attempt. */
type Open = {
  readonly kind: 'open';
  readonly session: Session;
  readonly jar: Jar;
  readonly fresh: boolean;
};
/**
 * `over`: the session has ended, so a write was not done. `unproven`: only a new session can show it. `alive`: a read
 * worked in the session. `unknown`: the look failed, or its session is gone.
 */
type Finding = 'over' | 'unproven' | 'alive' | 'unknown';
type Failed = { readonly kind: 'failed'; readonly outcome: FailedOutcome };

export class SignedIn {
  readonly #http: Http;
  readonly #options: ClientOptions;
  readonly #fingerprint: string;
  readonly #signInMs: number;
  #jar: Jar | null = null;

  constructor(http: Http, options: ClientOptions) {
    this.#http = http;
    this.#options = options;
    const { username, password, operations } = options.settings;
    this.#fingerprint = credentialsFingerprint(username, password);
    // Shorter than an attempt, so that the attempt learns the result of the sign-in before it times out.
    this.#signInMs = Math.ceil((operations['schedule-event']?.timeoutMs ?? 10_000) * 0.8);
  }

  /**
   * Sends with the session's cookies, and once more after a sign-in if the session has ended. Rejects only when Redis
   * fails or `send` rejects.
   */
  async run<T extends { kind: string }>(request: InSession<T>): Promise<T | FailedOutcome> {
    const { signal, sending } = request;
    const first = await this.#current(signal);
    if (first.kind === 'failed') return first.outcome;
    const answer = await this.#send(first, request.send);
    if (isLoginPage(answer)) await this.#restoreSession(first, request);
    if (!isSignedOut(answer)) return answer;
    const finding = await this.#findOut(first, answer, request);
    if (finding === 'alive' || finding === 'unknown') return unproven(answer, sending);
    if (first.fresh) return signedOutAgain(first, answer, sending);
    const next = await this.#renew(first.session, signal);
    if (next.kind === 'failed') return finding === 'over' ? next.outcome : unproven(answer, sending);
    // If the same look works in the new session, the page was about the old one.
    const proved = finding === 'over' || sending === 'read' || (await this.#look(next, request)) === 'alive';
    if (!proved) return unproven(answer, sending);
    const again = await this.#send(next, request.send);
    if (!isSignedOut(again)) return again;
    if (again.status === 403 && again.sign === 'certain' && (await this.#look(next, request)) === 'alive') {
      return outcomes.reject('up', { code: 'request_refused', status: again.status });
    }
    return signedOutAgain(next, again, sending);
  }

  /** See `UpstreamClient.signInAnew`. */
  async signInAnew(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'> {
    const { sessions } = this.#options;
    if (when === 'others' && !(await sessions.refusedOthers(this.#fingerprint))) return 'no';
    // The cached session may be the one that has ended.
    await sessions.refresh();
    const renewal = await this.#askForSession(null, signal);
    if (renewal.kind === 'refused') return 'no';
    return renewal.kind === 'session' ? 'signed-in' : 'later';
  }

  async #current(signal: AbortSignal): Promise<Open | Failed> {
    const session = await this.#options.sessions.load();
    const jar = session && this.#open(session);
    return session && jar ? { kind: 'open', session, jar, fresh: false } : this.#renew(session, signal);
  }

  async #findOut<T>(open: Open, { sign }: SignedOut, request: InSession<T>): Promise<Finding> {
    const isRead = request.sending === 'read';
    switch (sign) {
      case 'certain':
        return 'over';
      case 'redirect':
        return isRead ? 'over' : this.#lookAgain(open, request);
      case 'cookies':
        // Crossmark would refuse every request in this session.
        await this.#options.sessions.clear(open.session.id);
        return isRead ? 'over' : 'unknown';
      case 'page':
        return this.#lookAgain(open, request);
      case 'challenge':
        return 'unknown';
      default:
        return sign satisfies never;
    }
  }

  /** After a login page in answer to a write: the write is not repeated, but the next calls need a session. */
  async #restoreSession<T>(open: Open, request: InSession<T>): Promise<void> {
    if (open.fresh || (await this.#lookAgain(open, request)) !== 'over') return;
    await this.#renew(open.session, request.signal);
  }

  /** Looks with the stored cookies. Those of the last answer may come from a proxy. */
  async #lookAgain<T>(open: Open, request: InSession<T>): Promise<Finding> {
    const session = await this.#options.sessions.refresh();
    const jar = session?.id === open.session.id && this.#open(session);
    if (session && jar) return this.#look({ ...open, session, jar }, request);
    // Another session says nothing about the one that the write was sent in.
    return request.sending === 'write' ? 'unknown' : 'unproven';
  }

  async #look<T>(open: Open, { look }: InSession<T>): Promise<Finding> {
    const seen = await this.#send(open, look);
    if (!isSignedOut(seen)) return seen.kind === 'value' ? 'alive' : 'unknown';
    if (seen.sign === 'page') return 'unproven';
    return seen.sign === 'cookies' ? 'unknown' : 'over';
  }

  async #send<T extends { kind: string }>(
    { session, jar }: Open,
    send: (cookies: CookieJar) => Promise<T | SignedOut>,
  ): Promise<T | SignedOut> {
    const answer = await send(jar.cookies);
    if (isSignedOut(answer) || isLoginPage(answer)) {
      // The login page may have set a cookie in the jar.
      if (this.#jar?.id === session.id) this.#jar = null;
      return answer;
    }
    boundCookies(jar.cookies, jar.own);
    const state = cookieState(jar.cookies);
    if (state !== jar.known) {
      jar.known = state;
      await this.#save(session, jar);
    }
    return answer;
  }

  /** Best effort: a failure to save must not lose the answer. */
  async #save(session: Session, { cookies, own }: Jar): Promise<void> {
    const data: CrossmarkSession = { cookies: serializeCookies(cookies), own };
    try {
      await this.#options.sessions.rotate(session.id, data);
    } catch (error) {
      const reason = error instanceof Error ? error.name : 'unknown';
      this.#options.log.warn({ upstream: 'crossmark', reason }, 'could not save changed session cookies');
    }
  }

  /** A session other than `stale`, ready for use. */
  async #renew(stale: Session | null, signal: AbortSignal): Promise<Open | Failed> {
    const renewal = await this.#askForSession(stale, signal);
    if (renewal.kind !== 'session') return { kind: 'failed', outcome: about(stale, notSignedIn(renewal)) };
    const { session, fresh } = renewal;
    const jar = this.#open(session);
    if (jar) return { kind: 'open', session, jar, fresh };
    // Another release stored it. The next attempt signs in.
    await this.#options.sessions.clear(session.id);
    return { kind: 'failed', outcome: outcomes.rateLimit(sessionReplacedMs, { code: 'session_replaced' }) };
  }

  async #askForSession(stale: Session | null, signal: AbortSignal): Promise<Renewal> {
    const { sessions, settings, log } = this.#options;
    const lead = (ends: AbortSignal) => {
      log.info({ upstream: 'crossmark' }, 'signing in');
      const signals = AbortSignal.any([ends, AbortSignal.timeout(this.#signInMs)]);
      return signIn(this.#http, settings, sessions.budget, signals);
    };
    try {
      const renewal = await sessions.renew(stale, this.#fingerprint, lead, signal);
      if (renewal.kind === 'refused' && !renewal.remembered) {
        log.warn({ upstream: 'crossmark', code: renewal.code }, 'sign-in refused');
      }
      return renewal;
    } catch (error) {
      if (!signal.aborted) throw error;
      // Health `unknown`: a sign-in that hangs times out sooner, so its leader may have died.
      return { kind: 'failed', outcome: outcomes.retry('unknown', { code: 'sign_in_timeout' }) };
    }
  }

  /** The session's jar. Parallel requests share it, so that they see each other's cookies. */
  #open(session: Session): Jar | null {
    const { id, revision } = session;
    if (this.#jar?.id === id && this.#jar.revision >= revision) return this.#jar;
    const parsed = sessionData.safeParse(session.data);
    if (!parsed.success) return null;
    const cookies = parseCookies(parsed.data.cookies);
    const known = cookieState(cookies);
    boundCookies(cookies, parsed.data.own);
    this.#jar = { id, revision, cookies, own: parsed.data.own, known };
    return this.#jar;
  }
}

const checkCredentials =
  'Crossmark refused the user name or password. Set CROSSMARK_USERNAME and CROSSMARK_PASSWORD and restart the workers. They then sign in automatically. If the account was fixed instead, release this hold to try the same password again. Otherwise it is tried again after 15 minutes, then every hour.';

const notHonoured =
  'Crossmark reports "signed out" right after a successful sign-in. The next attempt is made when this hold ends. If the hold returns, check that the account has access to scheduling.';

const waitsForSignIn = 'The last sign-in to Crossmark failed. The next one is made when this hold ends.';

function notSignedIn(renewal: Exclude<Renewal, { kind: 'session' }>): FailedOutcome {
  switch (renewal.kind) {
    case 'failed':
      return renewal.outcome;
    case 'paused':
      return outcomes.signInHold(waitsForSignIn, { code: 'sign_in_paused' }, renewal.forMs);
    case 'refused':
      return outcomes.signInHold(checkCredentials, { code: 'sign_in_refused' });
    default:
      return renewal satisfies never;
  }
}

const unprovenCodes = {
  certain: 'not_own_answer',
  page: 'not_own_answer',
  challenge: 'not_own_answer',
  redirect: 'unexpected_redirect',
  cookies: 'cookies_too_large',
} as const;

/** The answer looked signed out, but the session was alive or its state is unknown. */
function unproven({ sign, status }: SignedOut, sending: 'read' | 'write'): FailedOutcome {
  const facts = { code: unprovenCodes[sign], status };
  const health = sign === 'page' ? 'down' : 'unknown';
  return sending === 'read' ? outcomes.retry(health, facts) : outcomes.inDoubt(health, facts, true);
}

/** Signed out in an attempt's second session, or in one that was signed in during the attempt. */
function signedOutAgain(open: Open, again: SignedOut, sending: 'read' | 'write'): FailedOutcome {
  const { sign, status } = again;
  if (sign === 'page' || (sending === 'write' && sign !== 'certain')) return unproven(again, sending);
  if (!open.fresh) return outcomes.rateLimit(sessionReplacedMs, { code: 'session_replaced', status });
  const facts = { code: 'signed_out_again', status } as const;
  return about(open.session, outcomes.signInHold(notHonoured, facts, signedOutAgainMs));
}

/** Adds the session to a sign-in hold, so that the hold is not set when a newer session exists. */
function about(session: Session | null, outcome: FailedOutcome): FailedOutcome {
  if (!session || outcome.kind !== 'snooze' || outcome.hold?.kind !== 'sign-in') return outcome;
  return { ...outcome, hold: { ...outcome.hold, session: session.id } };
}

function isLoginPage(answer: { kind: string; code?: string }): boolean {
  return answer.kind === 'in_doubt' && answer.code === 'login_page';
}

function isSignedOut(answer: { kind: string }): answer is SignedOut {
  return answer.kind === 'signed_out';
}
