/** A call as the API returns it, and the options of a call. Times are ISO 8601. */

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

/** One attempt. */
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

/** A call. `result` is set once the status is `succeeded`. */
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

export type CallOptions = {
  /** While the breaker is not closed: store the call, refuse it, or return the last good result (reads only). */
  readonly ifOpen?: 'defer' | 'reject' | 'stale';
  /** From 1 (first) to 100 (last). */
  readonly priority?: number;
  readonly runAt?: string;
  readonly expiresAt?: string;
  readonly maxAttempts?: number;
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>>;
  /** The finished call is posted to this URL, signed. */
  readonly callback?: { readonly url: string };
  /** Without an idempotency key: makes it a call of its own although an equal one is unfinished or was just accepted. */
  readonly allowDuplicate?: boolean;
};

const finished: readonly CallStatus[] = ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'];

/** True if the call has ended, `in_doubt` included. */
export function isFinished({ status }: Pick<Call, 'status'>): boolean {
  return finished.includes(status);
}
