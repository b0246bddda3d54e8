/**
 * A stand-in for Parcels: a token for user name and password, parcels by reference. Takes the same reference twice.
 *
 * Always true: importing does nothing; two simulations share nothing.
 */
import { randomUUID } from 'node:crypto';
import {
  type CommonSettings,
  commonSettingsShape,
  Settings,
  type SimulatedReply,
  type SimulatedRequest,
  type SimulatedRoute,
  type Simulation,
  type SimulationOptions,
} from '../simulation/simulation.ts';

const defaults: CommonSettings = {
  password: 'simulator',
  lockAfter: 5,
  sessionTtlMs: 3_600_000,
  expiredStyle: '401',
  serialiseSessions: false,
  latencyMs: {},
  realistic: false,
};

const jsonType = 'application/json';
const operations = ['login', 'send-parcel', 'find-parcel'];

/** Makes a fresh simulated Parcels. */
export function createParcelsSimulation({ now }: SimulationOptions): Simulation {
  const settings = new Settings<CommonSettings>(commonSettingsShape(operations), defaults);
  const carrier = new Carrier(settings.current, now);
  return {
    routes: routesOf(carrier),
    hasLoginHost: false,
    settings: settings.current,
    jsonType,
    refusal: null,
    change: (input) => settings.change(input),
    restoreSettings: () => settings.restore(),
    authorise: (request) => carrier.authorise(request),
    sessionKey: tokenOf,
    expire: () => carrier.tokens.clear(),
    endSession: (request) => carrier.endSession(request),
    facts: () => carrier.facts(),
    reset: () => carrier.reset(),
  };
}

function routesOf(carrier: Carrier): SimulatedRoute[] {
  const main = { mount: 'main', needsSession: true, realisticMs: 300 } as const;
  return [
    {
      ...main,
      method: 'POST',
      path: '/token',
      operation: 'login',
      needsSession: false,
      changes: true,
      handle: (request) => carrier.login(request),
    },
    {
      ...main,
      method: 'POST',
      path: '/parcels',
      operation: 'send-parcel',
      changes: true,
      handle: (request) => carrier.send(request),
    },
    {
      ...main,
      method: 'GET',
      path: '/parcels',
      operation: 'find-parcel',
      changes: false,
      handle: (request) => carrier.find(request),
    },
  ];
}

/** All there is to remember. */
class Carrier {
  /** Token → when it was given. */
  readonly tokens = new Map<string, number>();
  readonly #parcels: { readonly id: string; readonly reference: string }[] = [];
  readonly #settings: CommonSettings;
  readonly #now: () => number;
  #logins = 0;
  #loginsRefused = 0;

  constructor(settings: CommonSettings, now: () => number) {
    this.#settings = settings;
    this.#now = now;
  }

  login({ json }: SimulatedRequest): SimulatedReply {
    this.#logins += 1;
    const { username, password } = (json ?? {}) as Record<string, unknown>;
    if (username !== 'simulator' || password !== this.#settings.password) {
      this.#loginsRefused += 1;
      return reply(401, { error: 'wrong user name or password' });
    }
    const token = randomUUID();
    this.tokens.set(token, this.#now());
    return { ...reply(200, { token }), applied: true };
  }

  authorise(request: SimulatedRequest): SimulatedReply | null {
    const givenAt = this.tokens.get(tokenOf(request) ?? '');
    const lives = givenAt !== undefined && this.#now() - givenAt < this.#settings.sessionTtlMs;
    return lives ? null : reply(401, { error: 'the token is over' });
  }

  endSession(request: SimulatedRequest): SimulatedReply {
    this.tokens.delete(tokenOf(request) ?? '');
    return reply(401, { error: 'the token is over' });
  }

  send({ json }: SimulatedRequest): SimulatedReply {
    const { reference } = (json ?? {}) as Record<string, unknown>;
    if (typeof reference !== 'string') return reply(400, { error: 'no reference' });
    const sent = { id: String(70_000 + this.#parcels.length), reference };
    this.#parcels.push(sent);
    return { ...reply(200, sent), applied: true };
  }

  find({ query }: SimulatedRequest): SimulatedReply {
    const reference = query.get('reference');
    return reply(200, { parcels: this.#parcels.filter((one) => one.reference === reference) });
  }

  facts() {
    const visitsByItem: Record<string, number> = {};
    for (const { reference } of this.#parcels) visitsByItem[reference] = (visitsByItem[reference] ?? 0) + 1;
    return {
      visits: [],
      visitsByItem,
      visitsMade: this.#parcels.length,
      visitsDeleted: 0,
      pendingWorkByItem: {},
      logins: this.#logins,
      loginsRefused: this.#loginsRefused,
      smsSent: 0,
    };
  }

  reset(): void {
    this.tokens.clear();
    this.#parcels.length = 0;
    this.#logins = 0;
    this.#loginsRefused = 0;
  }
}

function tokenOf({ headers }: SimulatedRequest): string | null {
  return /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? null;
}

function reply(status: number, body: object): SimulatedReply {
  return { status, headers: { 'Content-Type': jsonType }, body: JSON.stringify(body) };
}
