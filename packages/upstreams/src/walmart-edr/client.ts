/**
 * Makes Walmart EDR's calls in the session that the fleet shares. Only a person can sign in. After a signed-out answer
 * the client looks for a newer session once and renews the token once, and repeats the request after each. Cookies of
 * every answer are saved for the fleet.
 */
import type { Log } from '@recloser/runtime/observe/log';
import type { UpstreamSettings } from '../contract/settings.ts';
import type { AttemptContext, Outcome, UpstreamClient } from '../contract/upstream.ts';
import { abortCause } from '../http/abort.ts';
import { createHttp, type Exchange, type Http } from '../http/http.ts';
import type { SignedOut } from '../http/judge-exchange.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import type { ClientOptions } from '../session/client-options.ts';
import { credentialsFingerprint } from '../session/credentials.ts';
import type { Renewal, SignInAnswer } from '../session/renewal.ts';
import type { SessionStore } from '../session/store.ts';
import { classify, type Judgement, judgePortal, type WalmartOperation } from './classify.ts';
import { walmartEdr } from './definition.ts';
import {
  challengedCode,
  forbidden,
  givenUp,
  invalidInput,
  needsSignIn,
  notVerifiable,
  outcomes,
  signedInMeanwhile,
  signInCode,
} from './outcomes.ts';
import { addresses, appHeaders } from './portal.ts';
import {
  afterAnswer,
  type HeldSession,
  holdSession,
  isExpired,
  newSessionData,
  tokenFrom,
} from './session.ts';
import { sendCode, verifyCode } from './sign-in.ts';
import { browseRequest } from './wire.ts';

/** Creates the client. It rejects only when Redis fails. Close it when done. */
export function createWalmartEdrClient(parts: ClientOptions): UpstreamClient {
  const http = createHttp();
  const calls = new WalmartEdrCalls(parts, http);
  return {
    run: (operation, input, context) => calls.run(operation, input, context),
    verify: async () => ({ kind: 'unreadable', outcome: notVerifiable }),
    canVerify: () => false,
    async signInStep(step, signal) {
      const result = await (step.step === 'send-code'
        ? sendCode({ ...parts, http }, signal)
        : verifyCode({ ...parts, http }, step.code, signal));
      const code = result.kind === 'refused' ? result.code : undefined;
      parts.log.info({ step: step.step, result: result.kind, reason: code }, 'Walmart EDR sign-in step');
      return result;
    },
    currentSession: async () => (await parts.sessions.refresh())?.id ?? null,
    async close() {
      http.close();
    },
  };
}

type Call = {
  readonly operation: WalmartOperation;
  readonly eventId?: string;
  readonly url: string;
  readonly request: { method: 'GET'; query: Record<string, string> } | { method: 'POST'; json: unknown };
};
type Found =
  /** `confirmed`: Walmart has just issued it. */
  | { readonly kind: 'session'; readonly held: HeldSession; readonly confirmed: boolean }
  | { readonly kind: 'outcome'; readonly outcome: Outcome };

/** How often `renew` is called again while it returns the same session with newer cookies. */
const maxRenewals = 5;
const renewalTimeoutMs = 10_000;

class WalmartEdrCalls {
  readonly #settings: UpstreamSettings;
  readonly #sessions: SessionStore;
  readonly #log: Log;
  readonly #http: Http;
  readonly #addresses: ReturnType<typeof addresses>;
  readonly #fingerprint: string;
  #keeping: Promise<void> = Promise.resolve();

  constructor({ settings, sessions, log }: ClientOptions, http: Http) {
    this.#settings = settings;
    this.#sessions = sessions;
    this.#log = log;
    this.#http = http;
    this.#addresses = addresses(settings);
    this.#fingerprint = credentialsFingerprint(settings.username, settings.password);
  }

  async run(operation: string, input: unknown, context: AttemptContext): Promise<Outcome> {
    const call = this.#prepare(operation, input);
    if (!call) return invalidInput;
    try {
      return await this.#attempt(call, context);
    } catch (error) {
      // Only a wait for another worker's renewal rejects when the attempt times out.
      if (context.signal.aborted && error === context.signal.reason) {
        return givenUp(abortCause(context.signal));
      }
      throw error;
    }
  }

  async #attempt(call: Call, context: AttemptContext): Promise<Outcome> {
    const found = await this.#current(context.signal);
    if (found.kind === 'outcome') return found.outcome;
    let { held } = found;
    let judged = await this.#exchange(call, held, context);
    if (judged.kind === 'outcome') return judged.outcome;

    const newer = await this.#newer(held, judged);
    if (newer) {
      held = newer;
      judged = await this.#exchange(call, held, context);
      if (judged.kind === 'outcome') return judged.outcome;
    }
    // After a page of the bot defence only a person can sign in, so send no other request.
    if (judged.sign === 'challenge') return this.#end(held, judged);

    const renewed = await this.#renew(held, context.signal);
    if (renewed.kind === 'outcome') return renewed.outcome;
    judged = await this.#exchange(call, renewed.held, context);
    if (judged.kind === 'outcome') return judged.outcome;
    if (judged.sign === 'page')
      return outcomes.retry('down', { code: 'not_own_answer', status: judged.status });
    // Walmart has just confirmed this session, so the 403 concerns only this request.
    if (renewed.confirmed && judged.status === 403 && judged.sign === 'certain') return forbidden;
    return this.#end(renewed.held, judged);
  }

  /** The current session. If there is none, a renewal returns the sign-in hold. */
  async #current(signal: AbortSignal): Promise<Found> {
    const held = holdSession(await this.#sessions.load());
    return held ? { kind: 'session', held, confirmed: false } : this.#renew(null, signal);
  }

  async #exchange(call: Call, held: HeldSession, context: AttemptContext): Promise<Judgement> {
    const nowMs = Date.now();
    if (isExpired(held.data, nowMs)) return { kind: 'signed_out', status: 401, sign: 'certain' };
    const headers: Record<string, string> = {
      ...context.headers,
      ...appHeaders(this.#settings),
      authorization: `Bearer ${held.data.token}`,
    };
    if (call.request.method === 'POST') headers.origin = new URL(this.#settings.baseUrl).origin;
    const { signal } = context;
    const exchange = await this.#http.send({
      ...call.request,
      url: call.url,
      headers,
      cookies: held.jar,
      signal,
    });
    const { operation, eventId, url: requestUrl } = call;
    const { loginBaseUrl } = this.#settings;
    const judged = classify(exchange, { operation, eventId, requestUrl, loginBaseUrl, nowMs });
    // A signed-out answer may clear cookies that other calls still use.
    if (judged.kind === 'outcome') await this.#keepCookies(held, exchange);
    return judged;
  }

  /** Another session, or the same one with cookies that another answer rotated; otherwise null. */
  async #newer(held: HeldSession, { sign }: SignedOut): Promise<HeldSession | null> {
    const latest = holdSession(await this.#sessions.refresh());
    if (!latest) return null;
    if (latest.id !== held.id) return latest;
    return sign !== 'challenge' && latest.revision !== held.revision ? latest : null;
  }

  /** A session other than `held`: renewed by us or another worker, or signed in by a person meanwhile. */
  async #renew(held: HeldSession | null, signal: AbortSignal): Promise<Found> {
    let stale = held;
    for (let turn = 1; ; turn += 1) {
      const known = stale && { id: stale.id, revision: stale.revision };
      const subject = stale;
      const signIn = (ends: AbortSignal) => this.#renewToken(subject, ends);
      const renewal = await this.#sessions.renew(known, this.#fingerprint, signIn, signal);
      const found = this.#found(renewal, stale);
      if (found.kind === 'outcome' || found.held.id !== stale?.id || turn === maxRenewals) return found;
      stale = found.held;
    }
  }

  #found(renewal: Renewal, stale: HeldSession | null): Found {
    if (renewal.kind === 'failed') return { kind: 'outcome', outcome: renewal.outcome };
    if (renewal.kind === 'paused') {
      return { kind: 'outcome', outcome: outcomes.rateLimit(renewal.forMs, { code: 'renewal_paused' }) };
    }
    if (renewal.kind === 'refused') {
      return { kind: 'outcome', outcome: needsSignIn(renewal.code, { session: stale?.id }) };
    }
    const { session, fresh } = renewal;
    const held = holdSession(session);
    if (!held) return { kind: 'outcome', outcome: needsSignIn(signInCode, { session: session.id }) };
    if (fresh && held.data.renewal) return { kind: 'outcome', outcome: held.data.renewal };
    return { kind: 'session', held, confirmed: fresh };
  }

  /** Requests a new app token with the cookies of `stale`. Runs once in the fleet at a time. */
  async #renewToken(stale: HeldSession | null, ends: AbortSignal): Promise<SignInAnswer> {
    if (!stale) return refusal(signInCode);
    const url = this.#addresses.authenticate;
    const signal = AbortSignal.any([ends, AbortSignal.timeout(renewalTimeoutMs)]);
    const headers = appHeaders(this.#settings);
    const exchange = await this.#http.send({ method: 'GET', url, headers, cookies: stale.jar, signal });
    const { loginBaseUrl } = this.#settings;
    const nowMs = Date.now();
    const judged = judgePortal(exchange, { requestUrl: url, loginBaseUrl, nowMs });
    const failure = renewalFailure(judged);
    // The failure shows nothing of the cookies, and a sign-in needs a person, so the session stays. It gets a new id,
    // so that all waiters share this outcome.
    if (failure) return { kind: 'signed-in', data: { ...stale.data, renewal: failure } };
    if (judged.kind === 'signed_out' && judged.sign === 'challenge') return refusal(challengedCode);
    const token = judged.kind === 'own' && exchange.kind === 'answer' ? tokenFrom(exchange) : null;
    if (!token || isExpired(token, nowMs)) return refusal(signInCode);
    this.#log.info({}, 'Walmart EDR app token renewed');
    return { kind: 'signed-in', data: newSessionData(stale.jar, token, stale.data.own) };
  }

  /** Ends the fleet's session, unless a person has signed in meanwhile. */
  async #end({ id }: HeldSession, { sign, status }: SignedOut): Promise<Outcome> {
    await this.#sessions.clear(id);
    if (await this.#sessions.refresh()) return signedInMeanwhile;
    this.#log.warn({ sign, status }, 'Walmart EDR session has ended: a person must sign in');
    return needsSignIn(sign === 'challenge' ? challengedCode : signInCode, { session: id, status });
  }

  /** One at a time, so that parallel answers build on each other's cookies. */
  #keepCookies(held: HeldSession, exchange: Exchange): Promise<void> {
    this.#keeping = this.#keeping.then(() => this.#keepChanged(held, exchange));
    return this.#keeping;
  }

  async #keepChanged(held: HeldSession, exchange: Exchange): Promise<void> {
    if (exchange.kind !== 'answer') return;
    try {
      const latest = holdSession(await this.#sessions.load());
      if (latest?.id !== held.id) return;
      const data = afterAnswer(held, latest.data, exchange);
      if (data) await this.#sessions.rotate(held.id, data);
    } catch {
      // Best effort: the next answer brings new cookies.
      this.#log.warn({}, 'could not save Walmart EDR session cookies');
    }
  }

  #prepare(operation: string, input: unknown): Call | null {
    const { report, browse } = this.#addresses;
    if (operation === 'get-report') {
      const { data } = walmartEdr.operations['get-report'].input.safeParse(input);
      if (!data) return null;
      const { eventId } = data;
      return { operation, eventId, url: report, request: { method: 'GET', query: { id: eventId } } };
    }
    if (operation === 'browse-events') {
      const { data } = walmartEdr.operations['browse-events'].input.safeParse(input);
      return data ? { operation, url: browse, request: { method: 'POST', json: browseRequest(data) } } : null;
    }
    return null;
  }
}

/** The failure of a renewal that showed nothing of the session; null if it showed something. */
function renewalFailure(judged: ReturnType<typeof judgePortal>): FailedOutcome | null {
  if (judged.kind === 'signed_out') {
    const { sign, status } = judged;
    return sign === 'page' ? outcomes.retry('down', { code: 'not_own_answer', status }) : null;
  }
  if (judged.kind === 'own' || judged.outcome.kind === 'done') return null;
  return judged.outcome.kind === 'reject' ? null : judged.outcome;
}

function refusal(code: string): Extract<SignInAnswer, { kind: 'refused' }> {
  return { kind: 'refused', code, message: 'A person must sign in to Walmart EDR.' };
}
