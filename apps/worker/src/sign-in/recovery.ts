/**
 * Releases a `sign-in` hold that was set because of refused credentials, once this process has signed in with its own.
 * So after a password is corrected, restarting the workers is enough.
 *
 * Per hold, each process signs in once: at its start, or if other credentials were refused. It repeats this if the
 * upstream did not answer. Refused credentials are sent again only when `isDue`. Holds with an end are left alone.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '@recloser/runtime/observe/log';
import type { UpstreamClient } from '@recloser/upstreams/contract/upstream';
import { jittered } from '../queue/timings.ts';

type Hold = { readonly kind: string; readonly since: number; readonly until: number | null };

export type SignInRecoveryOptions = {
  readonly signInAnew: NonNullable<UpstreamClient['signInAnew']>;
  /** Whether refused credentials may be sent again now. */
  readonly isDue?: () => Promise<boolean>;
  readonly holds: {
    list(): Promise<readonly Hold[]>;
    release(kind: 'sign-in', by: { owner: string; reason: string }): Promise<unknown>;
  };
  readonly workerId: string;
  readonly everyMs: number;
  /** Timeout of one sign-in. */
  readonly timeoutMs: number;
  readonly log: Log;
};

export class SignInRecovery {
  readonly #options: SignInRecoveryOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** `since` of the last hold that this process has handled. */
  #settledSince = 0;
  #started = false;

  constructor(options: SignInRecoveryOptions) {
    this.#options = options;
  }

  /** Checks the hold now and then at intervals. */
  start(): void {
    this.#running = this.#run();
  }

  /** Aborts a running sign-in. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#look().catch((err: unknown) => {
        if (!signal.aborted) this.#options.log.warn({ err }, 'the sign-in hold could not be checked');
      });
      await pause(jittered(this.#options.everyMs), undefined, { signal }).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    const { signInAnew, isDue = async () => false, holds, workerId, timeoutMs, log } = this.#options;
    const hold = (await holds.list()).find(({ kind, until }) => kind === 'sign-in' && until === null);
    // After a restart, always sign in once: the operator may have corrected the password.
    const when = this.#started ? 'others' : 'always';
    this.#started = true;
    if (!hold) return;
    const settled = hold.since === this.#settledSince;
    if (settled && !(await isDue())) return;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(timeoutMs)]);
    const answer = await signInAnew(settled ? 'always' : when, signal);
    log.info({ answer }, "sign-in with this worker's credentials because of a sign-in hold");
    if (answer === 'later') {
      this.#started = when === 'others';
      return;
    }
    if (answer === 'signed-in') {
      await holds.release('sign-in', {
        owner: workerId,
        reason: 'this worker signed in with its credentials',
      });
    }
    this.#settledSince = hold.since;
  }
}
