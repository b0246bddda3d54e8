/** What the API shows of a call, and what can be asked of it. Times are ISO 8601. */

export type CallStatus =
  | 'scheduled'
  | 'queued'
  | 'deferred'
  | 'running'
  | 'retrying'
  | 'succeeded'
  | 'failed'
  | 'expired'
  | 'cancelled'
  | 'in_doubt';

/** A reason why an upstream's calls wait. */
export type Hold = {
  readonly kind: string;
  readonly owner: string;
  readonly reason: string;
  readonly since: string;
  readonly until: string | null;
};

/** One attempt at a call. */
export type HistoryEntry = {
  readonly at: string;
  readonly durationMs: number;
  readonly outcome: string;
  readonly status: number | null;
  readonly code: string | null;
  readonly message: string | null;
  readonly worker: string;
};

/** Why a call ended without success. */
export type CallError = { readonly code: string; readonly message: string; readonly status: number | null };

/** A call. `Result` is the operation's result, there once the status is `succeeded`. */
export type Call<Result = unknown> = {
  readonly id: string;
  readonly upstream: string;
  readonly operation: string;
  readonly status: CallStatus;
  readonly input: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly attempts: {
    readonly made: number;
    readonly max: number;
    readonly deferrals: number;
    readonly stalls: number;
  };
  readonly history: readonly HistoryEntry[];
  readonly nextAttemptAt: string | null;
  readonly holds: readonly Hold[];
  readonly position: number | null;
  readonly result: Result | null;
  readonly error: CallError | null;
  readonly links: Readonly<Record<string, string>>;
};

/** What may be asked of a call when it is handed over. */
export type CallOptions = {
  /** While the upstream's breaker is not closed: keep the call, refuse it, or (reads) take the last good result. */
  readonly ifOpen?: 'defer' | 'reject' | 'stale';
  /** 1 goes first, 100 last. */
  readonly priority?: number;
  readonly runAt?: string;
  readonly expiresAt?: string;
  readonly maxAttempts?: number;
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>>;
  /** Where the finished call is sent to, signed. */
  readonly callback?: { readonly url: string };
  /** Without an idempotency key: makes it a call of its own although an equal one is unfinished or was just accepted. */
  readonly allowDuplicate?: boolean;
};

const finished: readonly CallStatus[] = ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'];

/** True when nothing more will happen to the call by itself. */
export function isFinished({ status }: Pick<Call, 'status'>): boolean {
  return finished.includes(status);
}
