/**
 * Makes requests inside the fleet's session: loads it, signs in when there is none or it has ended, sends the
 * same request again, and saves cookies that Crossmark changed.
 *
 * Always true: a request is sent again only after an answer that said "signed out", which proves that nothing was
 * done; and at most one sign-in is asked for per attempt.
 */
import type { CookieJar } from 'tough-cookie';
import { z } from 'zod';
import { cookieState, type Http, parseCookies, serializeCookies } from '../http/http.ts';
import type { ClientOptions } from '../session/client-options.ts';
import { credentialsFingerprint } from '../session/credentials.ts';
import type { FailedOutcome, Renewal, Session } from '../session/store.ts';
import type { SignedOut } from './classify.ts';
import { retryOutcome, signInHoldOutcome } from './outcome-codes.ts';
import { type CrossmarkSession, signIn } from './sign-in.ts';

/** An ended session may be replaced by one of the fleet's that has ended too; then by a fresh one. */
const maxSends = 3;

/** A sign-in that worked and is not honoured may be a passing fault: one new try every 30 s is no storm. */
const signedOutAgainMs = 30_000;

const sessionData = z.object({ cookies: z.string() });

/** `known`: the cookies as they were loaded or handed over to be saved last; see `cookieState`. */
type Jar = { readonly id: string; readonly revision: number; readonly cookies: CookieJar; known: string };

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
   * Runs `send` with the session's cookies, again after a sign-in if it finds itself signed out. Rejects only
   * for errors of our own: Redis, or whatever `send` throws.
   */
  async run<T extends { kind: string }>(
    signal: AbortSignal,
    send: (cookies: CookieJar) => Promise<T | SignedOut>,
  ): Promise<T | FailedOutcome> {
    let session = await this.#options.sessions.load();
    let fresh = false;
    for (let sends = 0; ; ) {
      const jar = session && this.#open(session);
      if (session && jar) {
        sends += 1;
        const answer = await this.#send(session, jar, send);
        if (!isSignedOut(answer)) return answer;
        if (fresh || sends === maxSends) {
          const facts = { code: 'signed_out_again', status: answer.status } as const;
          return about(session, signInHoldOutcome(signedOutAgain, facts, signedOutAgainMs));
        }
      }
      const renewal = await this.#renew(session, signal);
      if (renewal.kind !== 'session') return about(session, renewal.outcome);
      ({ session, fresh } = renewal);
    }
  }

  /** See `UpstreamClient.signInAnew`. */
  async signInAnew(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'> {
    const { sessions } = this.#options;
    if (when === 'others' && !(await sessions.refusedOthers(this.#fingerprint))) return 'no';
    // What this process remembers may be the session that is over.
    await sessions.refresh();
    const renewal = await this.#renew(null, signal);
    if (renewal.kind === 'session') return 'signed-in';
    const { outcome } = renewal;
    return outcome.kind === 'snooze' && outcome.hold.kind === 'sign-in' ? 'no' : 'later';
  }

  async #send<T extends { kind: string }>(
    session: Session,
    jar: Jar,
    send: (cookies: CookieJar) => Promise<T | SignedOut>,
  ): Promise<T | SignedOut> {
    const answer = await send(jar.cookies);
    if (isSignedOut(answer)) {
      // The login page may have put a cookie of its own in the jar.
      if (this.#jar?.id === session.id) this.#jar = null;
      return answer;
    }
    const state = cookieState(jar.cookies);
    if (state !== jar.known) {
      jar.known = state;
      await this.#save(session, jar.cookies);
    }
    return answer;
  }

  /** Saving is best effort: what the answer said about the call must not be lost over it. */
  async #save(session: Session, cookies: CookieJar): Promise<void> {
    const data: CrossmarkSession = { cookies: serializeCookies(cookies) };
    try {
      await this.#options.sessions.rotate(session.id, data);
    } catch (error) {
      const reason = error instanceof Error ? error.name : 'unknown';
      this.#options.log.warn({ upstream: 'crossmark', reason }, 'could not save changed session cookies');
    }
  }

  async #renew(
    stale: Session | null,
    signal: AbortSignal,
  ): Promise<Extract<Renewal, { kind: 'session' }> | { kind: 'failed'; outcome: FailedOutcome }> {
    const { sessions, settings, log } = this.#options;
    let renewal: Renewal;
    try {
      renewal = await sessions.renew(
        stale,
        this.#fingerprint,
        (ends) => {
          log.info({ upstream: 'crossmark' }, 'signing in');
          return signIn(this.#http, settings, AbortSignal.any([ends, AbortSignal.timeout(this.#signInMs)]));
        },
        signal,
      );
    } catch (error) {
      if (!signal.aborted) throw error;
      // No evidence against Crossmark: a sign-in that hangs reports itself sooner; here its leader may have died.
      return { kind: 'failed', outcome: retryOutcome('unknown', { code: 'sign_in_timeout' }) };
    }
    if (renewal.kind !== 'refused') return renewal;
    if (!renewal.remembered) log.warn({ upstream: 'crossmark', code: renewal.code }, 'sign-in refused');
    return { kind: 'failed', outcome: signInHoldOutcome(checkCredentials, { code: 'sign_in_refused' }) };
  }

  /** The session's jar; shared by parallel requests, so that they see each other's cookies. */
  #open(session: Session): Jar | null {
    const { id, revision } = session;
    if (this.#jar?.id === id && this.#jar.revision >= revision) return this.#jar;
    const parsed = sessionData.safeParse(session.data);
    if (!parsed.success) return null;
    const cookies = parseCookies(parsed.data.cookies);
    this.#jar = { id, revision, cookies, known: cookieState(cookies) };
    return this.#jar;
  }
}

const checkCredentials =
  'Crossmark refused the user name or password. Set CROSSMARK_USERNAME and CROSSMARK_PASSWORD and restart the workers: they sign in and go on by themselves. If it was the account that was mended, release this hold: the same password is then tried once more.';

const signedOutAgain =
  'Crossmark answers "signed out" right after a sign-in that it accepted. The next try is made when this hold ends; if it comes back, check that the account may use scheduling.';

/** A sign-in hold says which session it is about, so that it is not set over a newer one. */
function about(session: Session | null, outcome: FailedOutcome): FailedOutcome {
  if (!session || outcome.kind !== 'snooze' || outcome.hold.kind !== 'sign-in') return outcome;
  return { ...outcome, hold: { ...outcome.hold, session: session.id } };
}

function isSignedOut(answer: { kind: string }): answer is SignedOut {
  return answer.kind === 'signed_out';
}
