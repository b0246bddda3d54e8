/**
 * Requests with the fleet's token: signs in when there is none or it is over, and sends the same request once more.
 *
 * Always true: a request is sent again only after a 401, which proves that nothing was done.
 */

import type { Http } from '../http/http.ts';
import type { SignedOut } from '../http/judge-exchange.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import type { ClientOptions } from '../session/client-options.ts';
import { credentialsFingerprint } from '../session/credentials.ts';
import type { Renewal, Session, SignInAnswer } from '../session/renewal.ts';
import { classify, outcomes } from './classify.ts';
import { tokenAnswer } from './wire.ts';

const signedOutAgainMs = 30_000;
const checkCredentials =
  'Parcels refused the user name or password. Set PARCELS_USERNAME and PARCELS_PASSWORD and restart the workers.';
const waits = 'The next sign-in to Parcels is made when this hold ends.';

/** One per client. */
export class SignedIn {
  readonly #http: Http;
  readonly #options: ClientOptions;
  readonly #fingerprint: string;
  /** Less than an attempt has, so that an attempt learns what became of the sign-in. */
  readonly #signInMs: number;

  constructor(http: Http, options: ClientOptions) {
    this.#http = http;
    this.#options = options;
    const { username, password, operations } = options.settings;
    this.#fingerprint = credentialsFingerprint(username, password);
    this.#signInMs = Math.ceil((operations['send-parcel']?.timeoutMs ?? 10_000) * 0.8);
  }

  /** Runs `send` with the token. Rejects only for errors of our own. */
  async run<T extends { kind: string }>(
    signal: AbortSignal,
    send: (token: string) => Promise<T | SignedOut>,
  ): Promise<T | FailedOutcome> {
    const session = await this.#options.sessions.load();
    if (session) {
      const answer = await send(String(session.data));
      if (!isSignedOut(answer)) return answer;
    }
    const renewal = await this.#renew(session, signal);
    if (renewal.kind !== 'session') return about(session, notSignedIn(renewal));
    const again = await send(String(renewal.session.data));
    if (!isSignedOut(again)) return again;
    const facts = { code: 'signed_out_again', status: again.status } as const;
    // Another worker's session may have ended too; a fresh one that is not honoured needs a longer look.
    if (!renewal.fresh) return outcomes.rateLimit(1_000, facts);
    return about(renewal.session, outcomes.signInHold(waits, facts, signedOutAgainMs));
  }

  /** See `UpstreamClient.signInAnew`. */
  async signInAnew(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'> {
    const { sessions } = this.#options;
    if (when === 'others' && !(await sessions.refusedOthers(this.#fingerprint))) return 'no';
    await sessions.refresh();
    const { kind } = await this.#renew(null, signal);
    if (kind === 'session') return 'signed-in';
    return kind === 'refused' ? 'no' : 'later';
  }

  async #renew(stale: Session | null, signal: AbortSignal): Promise<Renewal> {
    const signIn = (ends: AbortSignal) =>
      this.#signIn(AbortSignal.any([ends, AbortSignal.timeout(this.#signInMs)]));
    try {
      return await this.#options.sessions.renew(stale, this.#fingerprint, signIn, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      return { kind: 'failed', outcome: outcomes.retry('unknown', { code: 'sign_in_timeout' }) };
    }
  }

  async #signIn(signal: AbortSignal): Promise<SignInAnswer> {
    const { sessions, settings } = this.#options;
    const { baseUrl, username, password } = settings;
    const budgeted = await sessions.budget.take();
    if (budgeted.kind === 'wait') {
      const { forMs: waitMs } = budgeted;
      return {
        kind: 'failed',
        outcome: outcomes.signInHold(waits, { code: 'sign_in_limit' }, waitMs),
        waitMs,
      };
    }
    const exchange = await this.#http.send({
      method: 'POST',
      url: `${baseUrl}/token`,
      json: { username, password },
      signal,
    });
    const answer = classify(exchange, tokenAnswer, { write: false, nowMs: Date.now() });
    if (answer.kind === 'value') return { kind: 'signed-in', data: answer.value.token };
    if (answer.kind === 'signed_out') {
      return { kind: 'refused', code: 'sign_in_refused', message: 'Parcels refused the sign-in.' };
    }
    if (answer.kind !== 'reject') return { kind: 'failed', outcome: answer };
    const status = exchange.kind === 'answer' ? { status: exchange.status } : {};
    return { kind: 'failed', outcome: outcomes.retry('down', { code: 'unexpected_answer', ...status }) };
  }
}

function notSignedIn(renewal: Exclude<Renewal, { kind: 'session' }>): FailedOutcome {
  if (renewal.kind === 'failed') return renewal.outcome;
  if (renewal.kind === 'refused') return outcomes.signInHold(checkCredentials, { code: 'sign_in_refused' });
  return outcomes.signInHold(waits, { code: 'sign_in_paused' }, renewal.forMs);
}

/** A sign-in hold says which session it is about, so that it is not set over a newer one. */
function about(session: Session | null, outcome: FailedOutcome): FailedOutcome {
  if (!session || outcome.kind !== 'snooze' || outcome.hold?.kind !== 'sign-in') return outcome;
  return { ...outcome, hold: { ...outcome.hold, session: session.id } };
}

function isSignedOut(answer: { kind: string }): answer is SignedOut {
  return answer.kind === 'signed_out';
}
