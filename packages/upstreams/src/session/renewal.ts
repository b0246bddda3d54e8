/** A session, and the results of a sign-in and of a renewal. */
import type { FailedOutcome } from '../http/outcomes.ts';

/** A signed-in session. `data` is the client's own (cookies, tokens), as JSON values. */
export type Session = {
  readonly id: string;
  /** Increases with each `rotate`. The same id means the same sign-in. */
  readonly revision: number;
  /** Milliseconds since the epoch, by the clock of the worker that signed in. */
  readonly signedInAt: number;
  readonly data: unknown;
};

/**
 * The result of one sign-in. `refused`: the credentials are wrong. `failed`: the upstream or the network failed.
 * `waitMs`: time until the next sign-in is allowed, if known.
 */
export type SignInAnswer =
  | { readonly kind: 'signed-in'; readonly data: unknown }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  | { readonly kind: 'failed'; readonly outcome: FailedOutcome; readonly waitMs?: number };

/**
 * The result of `renew`. `fresh`: the session was signed in during this call, by us or by another worker. If false, it
 * existed before and may be stale too. `remembered`: no sign-in was made, because the same credentials were refused
 * before. `paused`: no sign-in was made, because the last one failed and the next one must wait.
 */
export type Renewal =
  | { readonly kind: 'session'; readonly session: Session; readonly fresh: boolean }
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly message: string;
      readonly remembered: boolean;
    }
  | { readonly kind: 'failed'; readonly outcome: FailedOutcome }
  | { readonly kind: 'paused'; readonly forMs: number };
