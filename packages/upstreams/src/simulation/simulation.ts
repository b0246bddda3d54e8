/**
 * The interface of a simulated upstream: routes as plain data and functions. apps/simulator mounts them, applies faults
 * and keeps the ledger. Handlers are synchronous, so each request changes the state atomically. Write bodies from the
 * upstream's documentation, not from our wire schemas.
 */
import { z } from 'zod';

/** The ways in which an upstream shows that a session has ended. */
export const expiryStyles = ['401', '403', '302', 'html'] as const;

export type ExpiryStyle = (typeof expiryStyles)[number];

/** A request with its body parsed by content type. */
export type SimulatedRequest = {
  readonly method: string;
  /** Below the mount, without query. Double slashes are collapsed. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Raw values, not URL-decoded. */
  readonly cookies: ReadonlyMap<string, string>;
  readonly bodyKind: 'none' | 'form' | 'multipart' | 'json' | 'other';
  /** Fields of a form or multipart body; empty for other kinds. */
  readonly fields: Readonly<Record<string, string>>;
  /** The parsed body of a JSON request; `undefined` if it is absent or malformed. */
  readonly json: unknown;
  /** Absolute URL of the sign-in host's mount, for redirects. */
  readonly loginUrl: string;
};

/** An answer. `applied`: a write or a sign-in took effect. */
export type SimulatedReply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string;
  readonly applied?: boolean;
};

export type SimulatedRoute = {
  readonly method: 'GET' | 'POST';
  /** Matched exactly, trailing slash included. */
  readonly path: string;
  /** Our operation name, or a step of the sign-in. Faults and the ledger use this name. */
  readonly operation: string;
  readonly mount: 'main' | 'login';
  /** False for the sign-in routes. `expired` faults do not affect them. */
  readonly needsSession: boolean;
  /** True when handling the request changes the upstream's state. */
  readonly changes: boolean;
  /** Latency of the real upstream, used if `realistic` is on. See "Operations" in docs/upstreams. */
  readonly realisticMs: number;
  /** Called for every request before any fault, so that the simulation contains what clients refer to. */
  readonly mention?: (request: SimulatedRequest) => void;
  readonly handle: (request: SimulatedRequest) => SimulatedReply;
};

/** The settings of every simulation. Times are in milliseconds. */
export type CommonSettings = {
  password: string;
  /** Number of wrong passwords in a row after which every sign-in is refused. */
  lockAfter: number;
  sessionTtlMs: number;
  /** The answer to a request without a valid session. */
  expiredStyle: ExpiryStyle;
  /** Handle one request at a time per session, as PHP does. */
  serialiseSessions: boolean;
  /** Fixed latency by operation. Overrides `realistic`. */
  latencyMs: Partial<Record<string, number>>;
  realistic: boolean;
};

export type Simulation = {
  readonly routes: readonly SimulatedRoute[];
  /** True if the sign-in has a separate host, mounted at `/<name>-login`. */
  readonly hasLoginHost: boolean;
  readonly settings: Readonly<CommonSettings>;
  /** Applies a partial change of settings. On any issue it changes nothing and returns the issues. */
  change(settings: unknown): readonly z.core.$ZodIssue[];
  restoreSettings(): void;
  /** Null if the request has a valid session, otherwise the signed-out answer. */
  authorise(request: SimulatedRequest): SimulatedReply | null;
  /** Key of the request's session, for `serialiseSessions`. */
  sessionKey(request: SimulatedRequest): string | null;
  /** Ends every session. Signed-out requests are answered in `style`. */
  expire(style: ExpiryStyle): void;
  /** Ends this request's session and answers in `style`. */
  endSession(request: SimulatedRequest, style: ExpiryStyle): SimulatedReply;
  /** The content type of its JSON. */
  readonly jsonType: string;
  /** Its refusal with HTTP 200, if it has one. */
  readonly refusal: SimulatedReply | null;
  /** What took effect, for the ledger. */
  facts(): SimulationFacts;
  /** Clears sessions, visits, counters and locks. Keeps the settings. */
  reset(): void;
};

/** One current visit. Ids are strings, times are ISO 8601 in UTC. */
export type SimulatedVisit = {
  readonly scheduleEventId: string;
  readonly mPlanId: string;
  readonly locationId: string;
  readonly repId: string;
  readonly start: string;
  readonly end: string;
  /** Number of writes applied to this visit. More than 1 only if duplicates update in place. */
  readonly writes: number;
};

/** An upstream's part of the ledger. `logins` counts all sign-in requests, refused ones included. */
export type SimulationFacts = {
  readonly visits: readonly SimulatedVisit[];
  /** Current visits by mPlanId. */
  readonly visitsByItem: Readonly<Record<string, number>>;
  readonly visitsMade: number;
  readonly visitsDeleted: number;
  /** Pending work by mPlanId. */
  readonly pendingWorkByItem: Readonly<Record<string, number>>;
  readonly logins: number;
  readonly loginsRefused: number;
  readonly smsSent: number;
};

export type SimulationOptions = {
  /** Milliseconds since the epoch. Tests advance it to expire sessions. */
  readonly now: () => number;
};

/** A settings object with validated partial changes. `shape` has one schema per key of `defaults`. */
export class Settings<T extends CommonSettings> {
  readonly current: T;
  readonly #defaults: T;
  readonly #schema: z.ZodType;

  constructor(shape: z.ZodRawShape, defaults: T) {
    this.current = { ...defaults };
    this.#defaults = defaults;
    this.#schema = z.strictObject(shape).partial();
  }

  change(input: unknown): readonly z.core.$ZodIssue[] {
    const parsed = this.#schema.safeParse(input);
    if (!parsed.success) return parsed.error.issues;
    Object.assign(this.current, parsed.data);
    return [];
  }

  restore(): void {
    Object.assign(this.current, this.#defaults);
  }
}

/** Schemas of the common settings. `operations`: the keys of `latencyMs`. */
export function commonSettingsShape(operations: readonly string[]) {
  return {
    password: z.string().min(1).max(200),
    lockAfter: z.int().min(1).max(1_000_000),
    sessionTtlMs: z.int().min(1).max(86_400_000),
    expiredStyle: z.enum(expiryStyles),
    serialiseSessions: z.boolean(),
    latencyMs: z.partialRecord(z.enum(operations), z.int().min(0).max(600_000)),
    realistic: z.boolean(),
  };
}

/** A stable 32-bit hash (FNV-1a), so that an id always has the same simulated data. */
export function stableHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

const dayMs = 86_400_000;

/** Days since 1970-01-01 of a calendar date `YYYY-MM-DD…`; NaN if malformed. */
export function dayNumber(date: string): number {
  const match = /^(\d{4})-(\d{2})-(\d{2})(T\d{2}:\d{2}(:\d{2})?)?$/.exec(date);
  if (!match) return Number.NaN;
  const ms = Date.parse(`${match[1]}-${match[2]}-${match[3]}T00:00:00Z`);
  return Math.floor(ms / dayMs);
}

/** The calendar date `YYYY-MM-DD` of a day number. */
export function dateOfDay(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10);
}
