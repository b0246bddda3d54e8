/**
 * Requests with the fleet's token: signs in when there is none or it is over, and sends the same request again.
 *
 * Always true: a request is sent again only after a 401, which proves that nothing was done.
 */

import type { Http } from '../http/http.ts';
import type { ClientOptions } from '../session/client-options.ts';
import { credentialsFingerprint } from '../session/credentials.ts';
import type { FailedOutcome, Renewal, Session, SignInAnswer } from '../session/store.ts';
import { classify, failed, type SignedOut, signInHold } from './classify.ts';
import { tokenAnswer } from './wire.ts';

/** A session found over may be replaced by one of the fleet's that is over too; then by a fresh one. */
const maxSends = 3;
const signedOutAgainMs = 30_000;
const checkCredentials =
  'Parcels refused the user name or password. Set PARCELS_USERNAME and PARCELS_PASSWORD and restart the workers.';

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
    let session = await this.#options.sessions.load();
    let fresh = false;
    for (let sends = 0; ; ) {
      if (session) {
        sends += 1;
        const answer = await send(String(session.data));
        if (answer.kind !== 'signed_out') return answer as T;
        if (fresh || sends === maxSends) {
          return signInHold('Parcels says 401 right after a sign-in.', session.id, signedOutAgainMs);
        }
      }
      const renewal = await this.#renew(session, signal);
      if (renewal.kind === 'refused') return signInHold(checkCredentials, session?.id);
      if (renewal.kind === 'failed') return renewal.outcome;
      ({ session, fresh } = renewal);
    }
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
      return { kind: 'failed', outcome: failed('retry', 'unknown', 'sign_in_timeout') };
    }
  }

  async #signIn(signal: AbortSignal): Promise<SignInAnswer> {
    const { baseUrl, username, password } = this.#options.settings;
    const exchange = await this.#http.send({
      method: 'POST',
      url: `${baseUrl}/token`,
      json: { username, password },
      signal,
    });
    const answer = classify(exchange, tokenAnswer, { write: false, nowMs: Date.now() });
    if (answer.kind === 'value') return { kind: 'signed-in', data: answer.value.token };
    // Every other no of theirs as well: more tries could lock the account.
    if (answer.kind === 'signed_out' || answer.kind === 'reject') {
      return { kind: 'refused', code: 'sign_in_refused', message: 'Parcels refused the sign-in.' };
    }
    return { kind: 'failed', outcome: answer };
  }
}
