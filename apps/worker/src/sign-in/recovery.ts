/**
 * Ends a `sign-in` hold that asks for other credentials, once this process has them: it signs in first, and releases
 * the hold only when there is a session. So whoever mends the password restarts the workers and is done.
 *
 * Always true: for one hold each process tries once, when it starts or when others were refused, and again if the
 * upstream could not be asked; refused credentials are sent again only when that is due, by one process of the fleet; a
 * hold with an end, and one that waits for a text-message code, are left alone.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { UpstreamClient } from '@recloser/upstreams/contract/upstream';
import { jittered } from '../queue/timings.ts';

type Hold = { readonly kind: string; readonly since: number; readonly until: number | null };

export type SignInRecoveryOptions = {
  readonly signInAnew: NonNullable<UpstreamClient['signInAnew']>;
  /** Whether it is time to try refused credentials again. */
  readonly isDue?: () => Promise<boolean>;
  readonly holds: {
    list(): Promise<readonly Hold[]>;
    release(kind: 'sign-in', by: { owner: string; reason: string }): Promise<unknown>;
  };
  readonly workerId: string;
  readonly everyMs: number;
  /** Time for one try. */
  readonly timeoutMs: number;
  readonly log: Logger;
};

export class SignInRecovery {
  readonly #options: SignInRecoveryOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Of the hold that has been dealt with. */
  #settledSince = 0;
  #started = false;

  constructor(options: SignInRecoveryOptions) {
    this.#options = options;
  }

  /** Looks at once and then again and again. */
  start(): void {
    this.#running = this.#run();
  }

  /** Ends a try under way. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#look().catch((err: unknown) => {
        if (!signal.aborted) this.#options.log.warn({ err }, 'could not see to the sign-in hold');
      });
      await pause(jittered(this.#options.everyMs), undefined, { signal }).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    const { signInAnew, isDue = async () => false, holds, workerId, timeoutMs, log } = this.#options;
    const hold = (await holds.list()).find(({ kind, until }) => kind === 'sign-in' && until === null);
    // Whatever may be wrong, a restart is what an operator is told to do: it deserves one try.
    const when = this.#started ? 'others' : 'always';
    this.#started = true;
    if (!hold) return;
    const settled = hold.since === this.#settledSince;
    if (settled && !(await isDue())) return;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(timeoutMs)]);
    const answer = await signInAnew(settled ? 'always' : when, signal);
    log.info({ answer }, 'a sign-in hold stands: tried our own credentials');
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
