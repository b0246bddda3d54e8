/** A session, one try to sign in, and what asking for another session came to. */
import type { FailedOutcome } from '../http/outcomes.ts';

/** A signed-in session. `data` is what the upstream's client keeps: cookies, tokens. JSON values only. */
export type Session = {
  readonly id: string;
  /** Goes up with each `rotate`; same id = same sign-in. */
  readonly revision: number;
  /** Milliseconds since 1970, by the clock of the worker that signed in. */
  readonly signedInAt: number;
  readonly data: unknown;
};

/**
 * What one try to sign in came to. `refused`: the credentials are wrong. `failed`: the upstream or network; `waitMs`:
 * how long nobody may try again, if that is known.
 */
export type SignInAnswer =
  | { readonly kind: 'signed-in'; readonly data: unknown }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  | { readonly kind: 'failed'; readonly outcome: FailedOutcome; readonly waitMs?: number };

/**
 * What `renew` came to. `fresh`: the session was signed in during this call, by us or by the one we waited for;
 * else it was there already and may be stale itself. `remembered`: nobody tried now, the same credentials were
 * refused before. `paused`: nobody tried now, because the last try did not work and the next one must wait.
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
