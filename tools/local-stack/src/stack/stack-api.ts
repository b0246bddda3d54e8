/** An HTTP client for a running stack: the API for calls, the simulator for faults and its ledger. */

export type CallView = {
  readonly id: string;
  readonly status: string;
  readonly attempts: {
    readonly made: number;
    readonly max: number;
    readonly deferrals: number;
    readonly stalls: number;
  };
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly error: { readonly code: string; readonly message: string; readonly status: number | null } | null;
  readonly holds: readonly HoldView[];
  readonly history: readonly {
    readonly outcome: string;
    readonly code: string | null;
    readonly worker: string;
  }[];
  readonly nextAttemptAt: string | null;
};

export type HoldView = {
  readonly kind: string;
  readonly owner: string;
  readonly reason: string;
  readonly until: string | null;
};

export type UpstreamView = {
  readonly breaker: {
    readonly state: string;
    readonly since: string;
    readonly generation: number;
    readonly retryAt: string | null;
    readonly consecutiveFailures: number;
    readonly reason: string | null;
    readonly permits: number | null;
  };
  readonly holds: readonly HoldView[];
  readonly queue: Readonly<
    Record<'waiting' | 'delayed' | 'overdue' | 'active' | 'failed' | 'inDoubt', number>
  >;
  readonly workers: number;
  readonly setAside: number;
};

export type LedgerRequest = {
  readonly at: number;
  readonly operation: string;
  readonly outcome: string;
  readonly applied: boolean;
  readonly inFlight: number;
};

export type SimulatorLedger = {
  readonly requests: readonly LedgerRequest[];
  readonly visits: readonly Readonly<Record<string, unknown>>[];
  readonly visitsMade: number;
  readonly visitsByItem: Readonly<Record<string, number>>;
  readonly pendingWorkByItem: Readonly<Record<string, number>>;
  readonly logins: number;
  readonly smsSent: number;
  readonly maxInFlight: number;
  /** Requests that wait at the gate. */
  readonly held: number;
};

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
};

export class StackApi {
  readonly #web: string;
  readonly #simulator: string;

  constructor({ web, simulator }: { web: string; simulator: string }) {
    this.#web = web;
    this.#simulator = simulator;
  }

  /** Posts a call, valid or not. Returns the answer, whatever its status. */
  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(`${this.#web}/v1/calls/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Answer['body'],
    };
  }

  /** @param waitSeconds long-polls until the call has ended, at most 30 s */
  async call(id: string, waitSeconds = 0): Promise<CallView> {
    return await json<CallView>(`${this.#web}/v1/calls/${id}${waitSeconds ? `?wait=${waitSeconds}` : ''}`);
  }

  /** Many calls, twenty at a time. */
  async calls(ids: readonly string[]): Promise<CallView[]> {
    const views: CallView[] = [];
    for (let i = 0; i < ids.length; i += 20) {
      views.push(...(await Promise.all(ids.slice(i, i + 20).map((id) => this.call(id)))));
    }
    return views;
  }

  async upstream(name = 'crossmark'): Promise<UpstreamView> {
    return await json<UpstreamView>(`${this.#web}/v1/upstreams/${name}`);
  }

  async ledger(name = 'crossmark'): Promise<SimulatorLedger> {
    return await json<SimulatorLedger>(`${this.#simulator}/control/${name}/ledger`);
  }

  async faults(
    faults: readonly Record<string, unknown>[],
    { name = 'crossmark', seed = 1 } = {},
  ): Promise<void> {
    await json(`${this.#simulator}/control/${name}/faults`, withBody('PUT', { faults, seed }));
  }

  /** Holds the requests of one operation, or all, until `release` or the next fault plan. `besides` adds faults. */
  async gate(
    aim: { readonly operation?: string; readonly times?: number; readonly afterApply?: boolean } = {},
    { name = 'crossmark', besides = [] as readonly Record<string, unknown>[] } = {},
  ): Promise<void> {
    await this.faults([{ kind: 'gate', ...aim }, ...besides], { name });
  }

  /** Releases the `count` oldest held requests, by default all. The gate keeps holding new ones. */
  async release({ name = 'crossmark', count }: { name?: string; count?: number } = {}): Promise<void> {
    await json(`${this.#simulator}/control/${name}/release`, withBody('POST', { count }));
  }

  async settings(settings: Record<string, unknown>, name = 'crossmark'): Promise<void> {
    await json(`${this.#simulator}/control/${name}/settings`, withBody('PUT', settings));
  }

  async expire(style: string, name = 'crossmark'): Promise<void> {
    await json(`${this.#simulator}/control/${name}/expire`, withBody('POST', { style }));
  }
}

/** The input of the nth visit. Each n has its own item. */
export function visitInput(n: number): Record<string, string> {
  const day = new Date(Date.UTC(2027, 0, 4) + (n % 200) * 86_400_000).toISOString().slice(0, 10);
  return {
    repId: String(100_000 + (n % 50)),
    mPlanId: String(30_000_000 + n),
    locationId: String(150_000 + (n % 1_000)),
    start: `${day}T09:00:00-05:00`,
    end: `${day}T15:30:00-05:00`,
  };
}

const withBody = (method: string, body: unknown): RequestInit => ({
  method,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

async function json<T>(url: string, init?: RequestInit): Promise<T> {
  const response = await fetch(url, init);
  const text = await response.text();
  if (!response.ok) throw new Error(`${new URL(url).pathname} answered ${response.status}: ${text}`);
  return (text ? JSON.parse(text) : {}) as T;
}
