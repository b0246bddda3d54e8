/** Typed replies of the scripts. Times are milliseconds since 1970 by Redis' clock. */

export type BreakerState = 'closed' | 'open' | 'half_open';

export type HoldKind = 'breaker' | 'operator' | 'sign-in' | 'rate-limit';

/** A reason why an upstream's queue must not run. `until` null: until released. */
export type Hold = {
  readonly kind: HoldKind;
  readonly owner: string;
  readonly reason: string;
  readonly since: number;
  readonly until: number | null;
};

export type BreakerRecord = {
  readonly state: BreakerState;
  readonly since: number;
  /** Rises with each transition. Results from an older generation change no state. */
  readonly generation: number;
  readonly retryAt: number | null;
  readonly consecutiveFailures: number;
  readonly reason: string | null;
  /** Calls that may be in flight while half-open. Null in other states. */
  readonly permits: number | null;
  /** Number of permits that covers the fleet. */
  readonly permitsTarget: number;
  /** Consecutive trips. The open time grows with them. */
  readonly trips: number;
  /** While half-open: a worker runs the upstream's probe, and no call is sent yet. */
  readonly probing: boolean;
  /** While half-open: the probe passed, so a failed trial is charged to its call. */
  readonly proven: boolean;
  readonly leaseHolder: string | null;
  readonly leaseUntil: number | null;
  readonly successes: number;
  /** Rises when the permits are cut; see `failure.lua`. */
  readonly era: number;
  /** True while the breaker sets BullMQ's global concurrency. */
  readonly limited: boolean;
  /** The operator's global concurrency before that. Null: none. */
  readonly operatorConcurrency: number | null;
};

type WorkerEvidence = {
  readonly failures: number;
  readonly lastError: string | null;
  readonly at: number | null;
};

export type WorkerView = {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly seenAt: number;
  /** Maximum number of concurrent calls. */
  readonly capacity: number;
  readonly active: number;
  /** The breaker as this worker sees it. */
  readonly state: BreakerState;
  readonly generation: number;
  readonly failures: number;
  readonly lastError: string | null;
  readonly setAside: boolean;
};

export type FleetReply = {
  readonly nowMs: number;
  readonly breaker: BreakerRecord;
  readonly holds: readonly Hold[];
  /** Permits in use. */
  readonly inFlight: number;
  /** Ids of the workers set aside. */
  readonly aside: readonly string[];
  readonly workers: readonly WorkerView[];
  readonly admitted: boolean;
  readonly trial: boolean;
  readonly why: string;
  readonly won: boolean;
  readonly released: boolean;
  readonly asideUntil: number | null;
};

type Raw = {
  now: number;
  record: Record<string, string | number>;
  permitsTarget: number;
  inFlight: number;
  holds: Hold[] | Record<string, never>;
  aside: string[] | Record<string, never>;
  workers?: RawWorker[] | Record<string, never>;
  admitted?: boolean;
  trial?: boolean;
  why?: string;
  won?: boolean;
  released?: boolean;
  asideUntil?: number;
};

type RawWorker = Omit<WorkerView, 'failures' | 'lastError'> & { evidence: Partial<WorkerEvidence> | null };

/** Lua encodes an empty list as an empty object, hence `list`. */
export function parseReply(json: string): FleetReply {
  const raw = JSON.parse(json) as Raw;
  return {
    nowMs: raw.now,
    breaker: parseRecord(raw),
    holds: list(raw.holds),
    inFlight: raw.inFlight,
    aside: list(raw.aside),
    workers: list(raw.workers).map(parseWorker),
    admitted: raw.admitted === true,
    trial: raw.trial === true,
    why: raw.why ?? '',
    won: raw.won === true,
    released: raw.released === true,
    asideUntil: raw.asideUntil || null,
  };
}

function parseRecord({ record, permitsTarget }: Raw): BreakerRecord {
  const state = record.state as BreakerState;
  const text = (name: string) => (record[name] ? String(record[name]) : null);
  return {
    state,
    since: Number(record.since),
    generation: Number(record.generation),
    retryAt: Number(record.retryAt) || null,
    consecutiveFailures: Number(record.streak),
    reason: text('reason'),
    permits: state === 'half_open' ? Number(record.permits) : null,
    permitsTarget,
    trips: Number(record.trips),
    probing: Number(record.probing) === 1,
    proven: Number(record.proven) === 1,
    leaseHolder: text('leaseHolder'),
    leaseUntil: Number(record.leaseUntil) || null,
    successes: Number(record.successes),
    era: Number(record.era),
    limited: Number(record.limited) === 1,
    operatorConcurrency: Number(record.operatorConcurrency) || null,
  };
}

function parseWorker({ evidence, ...worker }: RawWorker): WorkerView {
  return { ...worker, failures: evidence?.failures ?? 0, lastError: evidence?.lastError ?? null };
}

function list<T>(value: readonly T[] | Record<string, never> | undefined): readonly T[] {
  return Array.isArray(value) ? value : [];
}
