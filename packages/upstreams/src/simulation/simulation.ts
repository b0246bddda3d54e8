/**
 * What a simulated upstream is: routes as plain data and functions, no web framework, no sockets.
 * apps/simulator mounts them, applies faults and keeps the ledger.
 *
 * Always true: handlers are synchronous, so one request's change of state is atomic; all state lives in
 * the object a `create…Simulation` returns; bodies follow the upstream's documents, never our wire schemas.
 */
import { z } from 'zod';

/** The four ways an upstream shows that a session is over. */
export const expiryStyles = ['401', '403', '302', 'html'] as const;

/** One of the four ways an upstream shows that a session is over. */
export type ExpiryStyle = (typeof expiryStyles)[number];

/** A request as a handler sees it: body already read and parsed by its content type. */
export type SimulatedRequest = {
  readonly method: string;
  /** Below the mount, without query; doubled slashes already made single. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Raw values, not URL-decoded. */
  readonly cookies: ReadonlyMap<string, string>;
  readonly bodyKind: 'none' | 'form' | 'multipart' | 'json' | 'other';
  /** Fields of a form or multipart body; empty for other kinds. */
  readonly fields: Readonly<Record<string, string>>;
  /** The parsed body of a JSON request; `undefined` when it is absent or unreadable. */
  readonly json: unknown;
  /** Absolute address of the sign-in host's mount, for redirects. */
  readonly loginUrl: string;
};

/** An answer. `applied` says that a write (or a sign-in) really took effect. */
export type SimulatedReply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string;
  readonly applied?: boolean;
};

/** One route of a simulated upstream. */
export type SimulatedRoute = {
  readonly method: 'GET' | 'POST';
  /** Matched exactly, trailing slash included. */
  readonly path: string;
  /** Our operation name, or a step of signing in; the name that faults and the ledger use. */
  readonly operation: string;
  readonly mount: 'main' | 'login';
  /** False for the routes that make a session: they need none, and `expired` faults leave them alone. */
  readonly needsSession: boolean;
  /** True when handling the request changes the upstream's state. */
  readonly changes: boolean;
  /** How long the real upstream takes (document section A2/B2), used when `realistic` is on. */
  readonly realisticMs: number;
  /** Told of every request before any fault: lets the simulated world contain what clients talk about. */
  readonly mention?: (request: SimulatedRequest) => void;
  readonly handle: (request: SimulatedRequest) => SimulatedReply;
};

/** Settings every simulation has. Times in milliseconds. */
export type CommonSettings = {
  password: string;
  /** Bad passwords in a row after which every sign-in is refused. */
  lockAfter: number;
  sessionTtlMs: number;
  /** How a request without a living session is answered. */
  expiredStyle: ExpiryStyle;
  /** One request at a time per session, as PHP's session files do. */
  serialiseSessions: boolean;
  /** Fixed latency by operation; wins over `realistic`. */
  latencyMs: Partial<Record<string, number>>;
  realistic: boolean;
};

/** A simulated upstream. */
export type Simulation = {
  readonly routes: readonly SimulatedRoute[];
  /** True when sign-in happens on another host, mounted at `/<name>-login`. */
  readonly hasLoginHost: boolean;
  readonly settings: Readonly<CommonSettings>;
  /** Applies a partial change of settings, or applies nothing and says what is wrong with it. */
  change(settings: unknown): readonly z.core.$ZodIssue[];
  restoreSettings(): void;
  /** Null when the request's session lives, else the answer for the signed-out. */
  authorise(request: SimulatedRequest): SimulatedReply | null;
  /** Names the request's session, for serialising. */
  sessionKey(request: SimulatedRequest): string | null;
  /** Ends every session; until a new sign-in, requests are answered in `style`. */
  expire(style: ExpiryStyle): void;
  /** Ends this request's session and answers in `style`. */
  endSession(request: SimulatedRequest, style: ExpiryStyle): SimulatedReply;
  /** The content type this upstream gives its JSON. */
  readonly jsonType: string;
  /** Its own way to refuse with HTTP 200, if it has one. */
  readonly refusal: SimulatedReply | null;
  /** What it really did, for the ledger. */
  facts(): SimulationFacts;
  /** Forgets sessions, visits, counters and locks; keeps the settings. */
  reset(): void;
};

/** One visit that stands in the simulated plan. Ids are strings, times ISO 8601 UTC. */
export type SimulatedVisit = {
  readonly scheduleEventId: string;
  readonly mPlanId: string;
  readonly locationId: string;
  readonly repId: string;
  readonly start: string;
  readonly end: string;
  /** How many writes were applied to this visit; more than 1 only where duplicates update in place. */
  readonly writes: number;
};

/** An upstream's part of the ledger. `logins` counts sign-in requests handled, refused ones included. */
export type SimulationFacts = {
  readonly visits: readonly SimulatedVisit[];
  /** Standing visits by mPlanId. */
  readonly visitsByItem: Readonly<Record<string, number>>;
  readonly visitsMade: number;
  readonly visitsDeleted: number;
  /** Pending work made, by mPlanId. */
  readonly pendingWorkByItem: Readonly<Record<string, number>>;
  readonly logins: number;
  readonly loginsRefused: number;
  readonly smsSent: number;
};

/** What a simulation is made from. */
export type SimulationOptions = {
  /** Milliseconds since the epoch; tests move it to age sessions. */
  readonly now: () => number;
};

/** A settings object with validated partial changes; `shape` has one schema per key of `defaults`. */
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

/** Schemas of the common settings, for an upstream with these operations. */
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

/** A stable 32-bit hash (FNV-1a): the same id always gives the same made-up facts. */
export function stableHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

const dayMs = 86_400_000;

/** Whole days since 1970-01-01 of a calendar date `YYYY-MM-DD…`; NaN when it is none. */
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
