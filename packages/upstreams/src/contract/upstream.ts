/**
 * The contract of every upstream. A definition imports no I/O, so that web and admin can load it. Only the worker loads
 * a client.
 */
import type { Health } from '@recloser/runtime/values/health';
import type { z } from 'zod';

/** `read`: safe to repeat. `idempotent`: a repeat reaches the same state. `unsafe`: a repeat may do it twice. */
export type Effect = 'read' | 'idempotent' | 'unsafe';

/** A hold that an attempt requests for its whole upstream. */
export type RequestedHold =
  | { readonly kind: 'rate-limit'; readonly delayMs: number; readonly reason: string }
  /**
   * `forMs` absent: until a person acts. `session`: id of the session that has ended, absent if there was none. The
   * hold is not set if another session has replaced that one.
   */
  | {
      readonly kind: 'sign-in';
      readonly reason: string;
      readonly forMs?: number;
      readonly session?: string;
    };

/** What one attempt showed. `code` is stable. `message` never contains secrets or names. */
export type Outcome =
  | { readonly kind: 'done'; readonly health: 'up'; readonly result: unknown; readonly status?: number }
  | Failure<'retry', Health>
  /** `hold` null: a local fault. The upstream is not held. The worker is set aside if the fault persists. */
  | (Failure<'snooze', 'unknown'> & { readonly hold: RequestedHold | null })
  | Failure<'reject', 'up' | 'unknown'>
  /** `ended`: the upstream has finished with the request, so the write cannot land later. */
  | (Failure<'in_doubt', Health> & { readonly ended?: boolean });

export type Failure<Kind extends string, H extends Health> = {
  readonly kind: Kind;
  readonly health: H;
  readonly code: string;
  readonly message: string;
  /** HTTP status of the answer, if there was one. */
  readonly status?: number;
};

/** What a read-back after an ambiguous write proved. */
export type Verification =
  | { readonly kind: 'applied'; readonly health: 'up'; readonly result: unknown }
  | { readonly kind: 'absent'; readonly health: 'up' }
  /** The read worked but proves neither, for example because a different booking exists. A person decides. */
  | { readonly kind: 'unprovable'; readonly health: 'up'; readonly code: string; readonly message: string }
  /** The read failed. Try again later. */
  | { readonly kind: 'unreadable'; readonly outcome: Exclude<Outcome, { kind: 'done' }> };

export type RetryPolicy = {
  readonly maxAttempts: number;
  readonly baseMs: number;
  readonly factor: number;
  readonly capMs: number;
};

export type OperationDefinition = {
  readonly name: string;
  readonly summary: string;
  readonly effect: Effect;
  /** Refuses unknown fields. Ids are strings, times are ISO 8601 with an offset. */
  readonly input: z.ZodType;
  readonly result: z.ZodType;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  /** The result field with the id of what the write created. No two calls are credited with the same id. */
  readonly makes?: string;
  /** Personal input fields. They are stored encrypted. */
  readonly sealedInput?: readonly string[];
  /** True if the result contains personal data. It is then stored encrypted. */
  readonly sealedResult?: boolean;
  /**
   * For so long after a call was accepted, a post without an idempotency key and with the same input gets that call.
   * With a window it also gets one that is unfinished or in doubt. Absent or 0: equal posts are different calls.
   */
  readonly duplicateWindowSeconds?: number;
};

export type BreakerPolicy = {
  /** Number of consecutive failures in the fleet that opens the breaker. */
  readonly failMax: number;
  readonly resetMs: number;
  /** Failure rate of one worker over 10 s, in percent, above which it trips. 100: never. */
  readonly failPercent: number;
};

export type UpstreamDefinition = {
  readonly name: string;
  readonly title: string;
  /** Prefix of its environment variables, such as `CROSSMARK` for `CROSSMARK_BASE_URL`. */
  readonly envPrefix: string;
  readonly breaker: BreakerPolicy;
  /** `text-message`: a person enters a code from a phone on the admin sign-in page. */
  readonly signIn: 'password' | 'text-message';
  readonly operations: Readonly<Record<string, OperationDefinition>>;
};

export type AttemptContext = {
  /** Aborts when the attempt times out or the worker stops. */
  readonly signal: AbortSignal;
  /**
   * Stores the *sending* mark. A client awaits it before the first byte of a write leaves, and sends nothing if it
   * rejects.
   */
  readonly onSending: () => Promise<void>;
  /**
   * Until when, by `performance.now()`, the *sending* mark is known to be ours. A client sends nothing after that. Call
   * it after `onSending`.
   */
  readonly sendBy?: () => number;
  /**
   * A read-back calls it before it credits this call with `id` (see `OperationDefinition.makes`). False: another call
   * is credited with it. Absent: every id is free.
   */
  readonly claim?: (id: string) => Promise<boolean>;
  /** W3C trace headers and request id to send to the upstream. */
  readonly headers?: Readonly<Record<string, string>>;
};

export type SignInStep = { readonly step: 'send-code' } | { readonly step: 'verify'; readonly code: string };

export type SignInResult =
  | { readonly kind: 'code-sent' }
  | { readonly kind: 'signed-in' }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

export type UpstreamClient = {
  /** Makes one attempt. Never rejects because of the upstream or the network. */
  run(operation: string, input: unknown, context: AttemptContext): Promise<Outcome>;
  /** Reads back whether an ambiguous write took effect. See `canVerify`. */
  verify(operation: string, input: unknown, context: AttemptContext): Promise<Verification>;
  /** True if `verify` can prove that this operation was or was not done. */
  canVerify(operation: string): boolean;
  /** A cheap, safe read that shows whether the upstream works again. `inconclusive`: it showed nothing. */
  probe?(context: AttemptContext): Promise<{ verdict: 'pass' | 'fail' | 'inconclusive'; reason: string }>;
  /** One step of an interactive sign-in (upstreams with `signIn: 'text-message'`). */
  signInStep?(step: SignInStep, signal: AbortSignal): Promise<SignInResult>;
  /**
   * Signs in with this process's credentials unless the fleet has a session (upstreams with `signIn: 'password'`).
   * `others`: only if different credentials were refused before. `no`: refused, now or before. `later`: the sign-in
   * could not be made. Rejects when Redis fails and when `signal` aborts.
   */
  signInAnew?(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'>;
  /** True if refused credentials may be tried again. Rejects only when Redis fails. */
  signInIsDue?(): Promise<boolean>;
  /** Id of the fleet's current session, null for none. Rejects only when Redis fails. */
  currentSession?(): Promise<string | null>;
  close(): Promise<void>;
};
