/**
 * Makes requests inside the fleet's session: loads it, signs in when there is none or it has ended, sends the
 * same request once more, and saves cookies that Crossmark changed.
 *
 * Always true: within one attempt there is at most one sign-in and one repeat; a write is repeated only when it is
 * proved that it was not done.
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

/** A sign-in that worked and is not honoured may be a passing fault: one new try every 30 s is no storm. */
const signedOutAgainMs = 30_000;
const sessionReplacedMs = 1_000;

const sessionData = z.object({ cookies: z.string(), own: z.array(z.string()).default([sessionCookie]) });

/** What is sent in a session. */
export type InSession<T> = {
  readonly sending: 'read' | 'write';
  readonly signal: AbortSignal;
  send(cookies: CookieJar): Promise<T | SignedOut>;
  /** One small read, which shows whether the session lives. */
  look(cookies: CookieJar): Promise<ReadValue<unknown> | SignedOut | FailedOutcome>;
};

/** `known`: the cookies as they were loaded or handed over to be saved last; see `cookieState`. */
type Jar = {
  readonly id: string;
  readonly revision: number;
  readonly cookies: CookieJar;
  readonly own: readonly string[];
  known: string;
};

/** A session in use. `fresh`: signed in during this attempt. */
type Open = {
  readonly kind: 'open';
  readonly session: Session;
  readonly jar: Jar;
  readonly fresh: boolean;
};
/** `over`: the session has ended, and a write was not done. `unproven`: only a new session can tell. */
type Finding = 'over' | 'unproven' | 'not_over';
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
    // Less than an attempt has, so that an attempt learns what became of the sign-in before its own time is up.
    this.#signInMs = Math.ceil((operations['schedule-event']?.timeoutMs ?? 10_000) * 0.8);
  }

  /**
   * Sends with the session's cookies, once more after a sign-in if it finds itself signed out. Rejects only
   * for errors of our own: Redis, or whatever `send` throws.
   */
  async run<T extends { kind: string }>(request: InSession<T>): Promise<T | FailedOutcome> {
    const { signal, sending } = request;
    const first = await this.#current(signal);
    if (first.kind === 'failed') return first.outcome;
    const answer = await this.#send(first, request.send);
    if (isLoginPage(answer)) await this.#mend(first, request);
    if (!isSignedOut(answer)) return answer;
    const finding = await this.#findOut(first, answer, request);
    if (finding === 'not_over') return unproven(answer, sending);
    if (first.fresh) return signedOutAgain(first, answer, sending);
    const next = await this.#renew(first.session, signal);
    if (next.kind === 'failed') return finding === 'over' ? next.outcome : unproven(answer, sending);
    // Only where the new session works did the page speak of the old one.
    const proved =
      finding === 'over' || sending === 'read' || (await this.#look(next, request)) === 'not_over';
    if (!proved) return unproven(answer, sending);
    const again = await this.#send(next, request.send);
    return isSignedOut(again) ? signedOutAgain(next, again, sending) : again;
  }

  /** See `UpstreamClient.signInAnew`. */
  async signInAnew(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'> {
    const { sessions } = this.#options;
    if (when === 'others' && !(await sessions.refusedOthers(this.#fingerprint))) return 'no';
    // What this process remembers may be the session that is over.
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
        // Whatever is sent in this session would be refused.
        await this.#options.sessions.clear(open.session.id);
        return isRead ? 'over' : 'not_over';
      case 'page':
        return this.#lookAgain(open, request);
      case 'challenge':
        return 'not_over';
      default:
        return sign satisfies never;
    }
  }

  /** A write got a login page. It is not repeated, but the next calls, which may be writes too, need a session. */
  async #mend<T>(open: Open, request: InSession<T>): Promise<void> {
    if (open.fresh || (await this.#lookAgain(open, request)) !== 'over') return;
    await this.#renew(open.session, request.signal);
  }

  /** With the cookies as they are kept: those of the answer just received may be a stranger's. */
  async #lookAgain<T>(open: Open, request: InSession<T>): Promise<Finding> {
    const session = await this.#options.sessions.refresh();
    const jar = session?.id === open.session.id && this.#open(session);
    return session && jar ? this.#look({ ...open, session, jar }, request) : 'unproven';
  }

  async #look<T>(open: Open, { look }: InSession<T>): Promise<Finding> {
    const seen = await this.#send(open, look);
    if (!isSignedOut(seen)) return 'not_over';
    if (seen.sign === 'page') return 'unproven';
    return seen.sign === 'cookies' ? 'not_over' : 'over';
  }

  async #send<T extends { kind: string }>(
    { session, jar }: Open,
    send: (cookies: CookieJar) => Promise<T | SignedOut>,
  ): Promise<T | SignedOut> {
    const answer = await send(jar.cookies);
    if (isSignedOut(answer) || isLoginPage(answer)) {
      // The login page may have put a cookie of its own in the jar.
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

  /** Saving is best effort: what the answer said about the call must not be lost over it. */
  async #save(session: Session, { cookies, own }: Jar): Promise<void> {
    const data: CrossmarkSession = { cookies: serializeCookies(cookies), own };
    try {
      await this.#options.sessions.rotate(session.id, data);
    } catch (error) {
      const reason = error instanceof Error ? error.name : 'unknown';
      this.#options.log.warn({ upstream: 'crossmark', reason }, 'could not save changed session cookies');
    }
  }

  /** Another session than `stale`, ready for use. */
  async #renew(stale: Session | null, signal: AbortSignal): Promise<Open | Failed> {
    const renewal = await this.#askForSession(stale, signal);
    if (renewal.kind !== 'session') return { kind: 'failed', outcome: about(stale, notSignedIn(renewal)) };
    const { session, fresh } = renewal;
    const jar = this.#open(session);
    if (jar) return { kind: 'open', session, jar, fresh };
    // Another release stored it: it goes, and the next attempt signs in.
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
      // No evidence against Crossmark: a sign-in that hangs reports itself sooner; here its leader may have died.
      return { kind: 'failed', outcome: outcomes.retry('unknown', { code: 'sign_in_timeout' }) };
    }
  }

  /** The session's jar; shared by parallel requests, so that they see each other's cookies. */
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
  'Crossmark refused the user name or password. Set CROSSMARK_USERNAME and CROSSMARK_PASSWORD and restart the workers: they sign in and go on by themselves. If it was the account that was mended, release this hold: the same password is then tried once more. Without help it is tried again after 15 minutes, then every hour.';

const notHonoured =
  'Crossmark answers "signed out" right after a sign-in that it accepted. The next try is made when this hold ends; if it comes back, check that the account may use scheduling.';

const waitsForSignIn =
  'The last sign-in to Crossmark did not work. The next one is made when this hold ends.';

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

/** It looked like signed out, and the session turned out to be something else or nobody knows. */
function unproven({ sign, status }: SignedOut, sending: 'read' | 'write'): FailedOutcome {
  const facts = { code: unprovenCodes[sign], status };
  const health = sign === 'page' ? 'down' : 'unknown';
  return sending === 'read' ? outcomes.retry(health, facts) : outcomes.inDoubt(health, facts, true);
}

/** Signed out in the second session of an attempt, or in one that was signed in during it. */
function signedOutAgain(open: Open, again: SignedOut, sending: 'read' | 'write'): FailedOutcome {
  const { sign, status } = again;
  if (sign === 'page' || (sending === 'write' && sign !== 'certain')) return unproven(again, sending);
  if (!open.fresh) return outcomes.rateLimit(sessionReplacedMs, { code: 'session_replaced', status });
  const facts = { code: 'signed_out_again', status } as const;
  return about(open.session, outcomes.signInHold(notHonoured, facts, signedOutAgainMs));
}

/** A sign-in hold says which session it is about, so that it is not set over a newer one. */
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
