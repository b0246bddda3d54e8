/**
 * The contract every upstream fulfils. A definition is light (no I/O imports) so that web and admin can
 * load it; a client does the calling and is loaded by the worker only.
 *
 * Always true: only an upstream's `classify` judges its answers, and it says so with one `Outcome`.
 */
import type { Health } from '@recloser/runtime/values/health';
import type { z } from 'zod';

/** What repeating an operation does: nothing, reach the same state, or do it twice. */
export type Effect = 'read' | 'idempotent' | 'unsafe';

/** A pause an attempt asks for on behalf of its whole upstream. */
export type RequestedHold =
  | { readonly kind: 'rate-limit'; readonly delayMs: number; readonly reason: string }
  /**
   * `forMs` absent: until a person has done something. `session`: id of the session that was found to be over,
   * absent if there was none; a hold about a session that has been replaced by now is not wanted.
   */
  | {
      readonly kind: 'sign-in';
      readonly reason: string;
      readonly forMs?: number;
      readonly session?: string;
    };

/** What one attempt showed. `code` is stable and safe to show; `message` never carries secrets or names. */
export type Outcome =
  | { readonly kind: 'done'; readonly health: 'up'; readonly result: unknown; readonly status?: number }
  | Failure<'retry', Health>
  /** `hold` null: a fault of this machine. The upstream is not held; this worker steps aside if it goes on. */
  | (Failure<'snooze', 'unknown'> & { readonly hold: RequestedHold | null })
  | Failure<'reject', 'up' | 'unknown'>
  /** `ended`: the upstream is done with the request, so what is not there soon will not come. */
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
  /** The read worked and proves neither: for example another booking stands there. A person decides. */
  | { readonly kind: 'unprovable'; readonly health: 'up'; readonly code: string; readonly message: string }
  /** The read itself did not work; ask again later. */
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
  /** Strict: unknown fields are refused. Ids are strings, times ISO 8601 with an offset. */
  readonly input: z.ZodType;
  readonly result: z.ZodType;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  /** The field of the result that names what the write made. No two calls may be credited with the same. */
  readonly makes?: string;
  /** Input fields that are personal and are therefore stored sealed (encrypted) in the job. */
  readonly sealedInput?: readonly string[];
  /** True when the result holds personal data and is therefore stored sealed (encrypted). */
  readonly sealedResult?: boolean;
};

export type BreakerPolicy = {
  /** Consecutive failures of the whole fleet that open the breaker. */
  readonly failMax: number;
  readonly resetMs: number;
  /** Share of failures, in percent of what a worker tried in 10 s, above which that worker trips; 100: never. */
  readonly failPercent: number;
};

export type UpstreamDefinition = {
  readonly name: string;
  readonly title: string;
  /** Prefix of its environment variables, e.g. `CROSSMARK` for `CROSSMARK_BASE_URL`. */
  readonly envPrefix: string;
  readonly breaker: BreakerPolicy;
  /** `text-message`: a person must read a code off a phone; the admin app offers a sign-in page. */
  readonly signIn: 'password' | 'text-message';
  readonly operations: Readonly<Record<string, OperationDefinition>>;
};

export type AttemptContext = {
  /** Aborted when the attempt's time is up or the worker must stop. */
  readonly signal: AbortSignal;
  /**
   * Awaited before the first byte of an unsafe operation leaves: stores the *sending* mark.
   * If it rejects, nothing may be sent.
   */
  readonly onSending: () => Promise<void>;
  /**
   * Until when, by `performance.now()`, the *sending* mark is known to be ours: what has not left by then must not
   * leave any more. Asked after `onSending`.
   */
  readonly sendBy?: () => number;
  /**
   * Asked by a read-back before it takes `id` for what this call made (see `OperationDefinition.makes`). False: another
   * call was credited with it. Absent: everything may be taken.
   */
  readonly claim?: (id: string) => Promise<boolean>;
  /** W3C trace headers and request id to pass on, if any. */
  readonly headers?: Readonly<Record<string, string>>;
};

export type SignInStep = { readonly step: 'send-code' } | { readonly step: 'verify'; readonly code: string };

export type SignInResult =
  | { readonly kind: 'code-sent' }
  | { readonly kind: 'signed-in' }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

export type UpstreamClient = {
  /** Makes one attempt. Never throws for anything the upstream or the network did. */
  run(operation: string, input: unknown, context: AttemptContext): Promise<Outcome>;
  /** Reads back whether an ambiguous write took effect. Absent for operations that cannot be proven. */
  verify(operation: string, input: unknown, context: AttemptContext): Promise<Verification>;
  /** True when `verify` can prove this operation either way. */
  canVerify(operation: string): boolean;
  /** A cheap, safe read that says whether the upstream works again. `inconclusive`: our own fault. */
  probe?(context: AttemptContext): Promise<{ verdict: 'pass' | 'fail' | 'inconclusive'; reason: string }>;
  /** One step of an interactive sign-in (upstreams with `signIn: 'text-message'`). */
  signInStep?(step: SignInStep, signal: AbortSignal): Promise<SignInResult>;
  /**
   * Signs in with this process's own credentials unless the fleet has a session (upstreams with
   * `signIn: 'password'`). `others`: only if it was other credentials that were refused; else `no`. `no`: refused, now
   * or before. `later`: the upstream could not be asked. Rejects for what Redis did, and when `signal` aborts.
   */
  signInAnew?(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'>;
  /** Whether it is time to try refused credentials again. Rejects only for what Redis did. */
  signInIsDue?(): Promise<boolean>;
  /** Id of the session that the fleet has now, null for none. Rejects only for what Redis did. */
  currentSession?(): Promise<string | null>;
  close(): Promise<void>;
};
