/**
 * One signed-in session per upstream for the whole fleet, encrypted in Redis, with one sign-in at a time.
 *
 * The sign-in runs under a lease with a fencing token: a leader that dies delays the next sign-in by at most the lease,
 * and a leader whose lease has expired changes nothing. A cached session may be stale. The upstream's signed-out answer
 * shows it, and `renew` then returns the fleet's newer session.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from '@recloser/runtime/redis/connection';
import { unlessAborted } from '../http/abort.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import { PendingSignIn } from './pending-sign-in.ts';
import type { Renewal, Session, SignInAnswer } from './renewal.ts';
import { runScript, type Script, scripts } from './scripts.ts';
import { openJson, type SessionSealer, sealJson } from './sealed-json.ts';
import { SignInBudget } from './sign-in-budget.ts';
import { defaultSignInPace, type SignInPace } from './sign-in-pace.ts';

export type SessionStoreOptions = {
  readonly redis: Redis;
  /** `<prefix>:{<upstream>}`, the prefix of every key. */
  readonly root: string;
  readonly sealer: SessionSealer;
  /** Id of this worker. Session ids begin with it, so that an operator can see which worker signed in. */
  readonly worker: string;
  /** Longest time of one sign-in. Its signal aborts a little earlier. Default 15 s. */
  readonly leaseMs?: number;
  /** How often a waiter polls for the leader's session. Default 100 ms. */
  readonly pollMs?: number;
  readonly pace?: Partial<SignInPace>;
  /** Called after this process has signed in and saved the session. Must not throw. */
  readonly onSignedIn?: () => void;
};

type Known = Pick<Session, 'id' | 'revision'>;
type Flight = { readonly number: string; readonly staleId: string; readonly fingerprint: string };

const noneKnown: Known = { id: '', revision: 0 };

export class SessionStore {
  /** The state between two steps of an interactive sign-in. */
  readonly pending: PendingSignIn;
  /** Take one sign-in from it before credentials are sent. */
  readonly budget: SignInBudget;
  readonly #options: SessionStoreOptions & Required<Pick<SessionStoreOptions, 'leaseMs' | 'pollMs'>>;
  readonly #pace: SignInPace;
  #cached: Session | null = null;
  /** Sign-ins that this process leads or waits for, by the session and credentials they replace. */
  readonly #flights = new Map<string, Promise<Renewal>>();

  constructor(options: SessionStoreOptions) {
    this.#options = { leaseMs: 15_000, pollMs: 100, ...options };
    const { redis, sealer } = options;
    this.pending = new PendingSignIn({ redis, sealer, key: this.#key() });
    this.#pace = { ...defaultSignInPace, ...options.pace };
    this.budget = new SignInBudget({ redis, key: this.#key(':sign-ins'), pace: this.#pace });
  }

  /** The cached session. Reads Redis only if there is none. */
  async load(): Promise<Session | null> {
    return this.#cached ?? this.refresh();
  }

  /** Reads the fleet's session from Redis. Null: there is none, or it was sealed with another key. */
  async refresh(): Promise<Session | null> {
    const fields = await this.#options.redis.hmget(this.#key(), 'id', 'revision', 'sealed', 'signedInAt');
    this.#cached = this.#open(fields);
    return this.#cached;
  }

  /**
   * Returns a session other than `stale` (the session that was just found signed out, null: there is none). Signs in
   * only if the fleet has none. `fingerprint`: see `credentialsFingerprint`. `signIn` must end soon after its own
   * signal aborts. It is shared between callers: `signal` only ends this caller's wait, which then rejects with the
   * signal's reason. Also rejects when `signIn` throws or Redis fails.
   */
  async renew(
    stale: Known | null,
    fingerprint: string,
    signIn: (signal: AbortSignal) => Promise<SignInAnswer>,
    signal?: AbortSignal,
  ): Promise<Renewal> {
    signal?.throwIfAborted();
    const known = stale ?? noneKnown;
    const cached = this.#cached;
    if (cached && (cached.id !== known.id || cached.revision !== known.revision)) {
      return { kind: 'session', session: cached, fresh: false };
    }
    this.#cached = null;
    const key = `${known.id} ${known.revision} ${fingerprint}`;
    let flight = this.#flights.get(key);
    if (!flight) {
      flight = this.#fly(known, fingerprint, signIn).finally(() => this.#flights.delete(key));
      this.#flights.set(key, flight);
    }
    return signal ? unlessAborted(flight, signal) : flight;
  }

  /** Saves changed data of session `id`. False: the session has ended or is being renewed, and nothing was saved. */
  async rotate(id: string, data: unknown): Promise<boolean> {
    const revision = Number(await this.#run(scripts.rotate, ['', ':lock'], [id, this.#seal(data)]));
    if (revision === 0) {
      if (this.#cached?.id === id) this.#cached = null;
      return false;
    }
    if (this.#cached?.id === id) this.#cached = { ...this.#cached, revision, data };
    return true;
  }

  /** Stores a session that a person signed in. It ends refusals, pending steps and running renewals. */
  async store(data: unknown): Promise<Session> {
    const session = this.#newSession(data);
    const args = [session.id, this.#seal(data), session.signedInAt];
    await this.#run(scripts.store, ['', ':refusal', ':pending', ':lock', ':failure'], args);
    this.#cached = session;
    return session;
  }

  /** Deletes the fleet's session. With an id, only if that session is current. */
  async clear(id = ''): Promise<void> {
    if (id === '' || this.#cached?.id === id) this.#cached = null;
    await this.#run(scripts.clear, [''], [id]);
  }

  /** The stored refusal of credentials, null if there is none. For display. */
  async refusal(): Promise<{ code: string; message: string; at: number } | null> {
    const [code, message, at] = await this.#options.redis.hmget(
      this.#key(':refusal'),
      'code',
      'message',
      'at',
    );
    return code ? { code, message: message ?? '', at: Number(at) } : null;
  }

  /** True if credentials were refused and they differ from these. */
  async refusedOthers(fingerprint: string): Promise<boolean> {
    const refused = await this.#options.redis.hget(this.#key(':refusal'), 'fingerprint');
    return refused !== null && refused !== fingerprint;
  }

  /** True if refused credentials may be tried again now. */
  async refusalIsDue(): Promise<boolean> {
    return (await this.#run(scripts.refusalIsDue, [':refusal'], [])) === 1;
  }

  /** Allows refused credentials to be tried again now, for example after the account was unlocked. */
  async forgetRefusal(): Promise<void> {
    await forgetRefusal(this.#options);
  }

  async #fly(
    stale: Known,
    fingerprint: string,
    signIn: (signal: AbortSignal) => Promise<SignInAnswer>,
  ): Promise<Renewal> {
    let known = stale;
    let waitedFor = '';
    for (;;) {
      const args = [known.id, known.revision, fingerprint, this.#options.leaseMs, waitedFor];
      const keys = ['', ':lock', ':flight', ':refusal', ':failure'];
      const [verdict, ...rest] = (await this.#run(scripts.claim, keys, args)) as [string, ...string[]];
      if (verdict === 'session') {
        const session = this.#open(rest);
        // Sealed with a key that we do not have, so treat it as stale.
        if (!session) known = { id: rest[0] ?? '', revision: Number(rest[1]) };
        else {
          this.#cached = session;
          return { kind: 'session', session, fresh: waitedFor !== '' };
        }
      } else if (verdict === 'refused') {
        return { kind: 'refused', code: rest[0] ?? '', message: rest[1] ?? '', remembered: true };
      } else if (verdict === 'failed') {
        return { kind: 'failed', outcome: JSON.parse(rest[0] ?? '') as FailedOutcome };
      } else if (verdict === 'paused') {
        return { kind: 'paused', forMs: Number(rest[0]) };
      } else if (verdict === 'lead') {
        const flight = { number: rest[0] ?? '', staleId: stale.id, fingerprint };
        const renewal = await this.#lead(flight, signIn);
        if (renewal) return renewal;
      } else {
        waitedFor ||= rest[0] ?? '';
        await pause(this.#options.pollMs * (0.75 + Math.random() / 2));
      }
    }
  }

  /** Signs in as the fleet's leader. Null: the lease expired or a person signed in, so another result counts. */
  async #lead(
    { number: flight, staleId, fingerprint }: Flight,
    signIn: (signal: AbortSignal) => Promise<SignInAnswer>,
  ): Promise<Renewal | null> {
    let answer: SignInAnswer;
    try {
      answer = await signIn(AbortSignal.timeout(Math.ceil(this.#options.leaseMs * 0.9)));
    } catch (error) {
      await this.#fail(flight, signInBroke);
      throw error;
    }
    if (answer.kind === 'failed') {
      const { outcome, waitMs } = answer;
      return (await this.#fail(flight, outcome, waitMs)) ? { kind: 'failed', outcome } : null;
    }
    if (answer.kind === 'refused') {
      const { firstRefusalMs, laterRefusalsMs } = this.#pace;
      const { code, message } = answer;
      const args = [flight, fingerprint, code, message, Date.now(), staleId, firstRefusalMs, laterRefusalsMs];
      const ours = await this.#run(scripts.refuse, ['', ':lock', ':refusal'], args);
      return ours === 1 ? { ...answer, remembered: false } : null;
    }
    const session = this.#newSession(answer.data);
    const args = [flight, session.id, this.#seal(session.data), session.signedInAt];
    if ((await this.#run(scripts.complete, ['', ':lock', ':refusal', ':failure'], args)) !== 1) return null;
    this.#cached = session;
    this.#options.onSignedIn?.();
    return { kind: 'session', session, fresh: true };
  }

  async #fail(flight: string, outcome: FailedOutcome, waitMs?: number): Promise<boolean> {
    const { firstFailureMs, maxFailureMs } = this.#pace;
    const args = [flight, JSON.stringify(outcome), firstFailureMs, maxFailureMs, waitMs ?? ''];
    return (await this.#run(scripts.fail, [':lock', ':failure'], args)) === 1;
  }

  #newSession(data: unknown): Session {
    return { id: `${this.#options.worker}-${randomUUID()}`, revision: 1, signedInAt: Date.now(), data };
  }

  #open([id, revision, sealed, signedInAt]: readonly (string | null | undefined)[]): Session | null {
    if (!id || !sealed) return null;
    const data = openJson(this.#options.sealer, sealed);
    return data === null ? null : { id, revision: Number(revision), signedInAt: Number(signedInAt), data };
  }

  #seal(data: unknown): string {
    return sealJson(this.#options.sealer, data);
  }

  #key(suffix = ''): string {
    return `${this.#options.root}:session${suffix}`;
  }

  #run(script: Script, suffixes: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return runScript(
      this.#options.redis,
      script,
      suffixes.map((suffix) => this.#key(suffix)),
      args,
    );
  }
}

/** Like `SessionStore.forgetRefusal`, for a process without a store. */
export async function forgetRefusal({
  redis,
  root,
}: Pick<SessionStoreOptions, 'redis' | 'root'>): Promise<void> {
  await redis.del(`${root}:session:refusal`, `${root}:session:failure`);
}

const signInBroke: FailedOutcome = {
  kind: 'retry',
  health: 'unknown',
  code: 'sign_in_error',
  message: 'The sign-in failed because of an internal error.',
};
