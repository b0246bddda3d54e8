/**
 * For this app's tests: a simulator on a free port, and raw HTTP requests as docs/upstreams describes them. It must not
 * use our own clients.
 */
import { listen } from '@recloser/runtime/process/http-server';
import { vi } from 'vitest';
import { createSimulator } from '../src/app.ts';
import type { Fault } from '../src/faults.ts';
import type { LedgerEntry } from '../src/ledger.ts';

/** Starts a simulator whose clock only moves when a test calls `advance`. */
export async function startSimulator() {
  let nowMs = Date.now();
  const simulator = createSimulator({ now: () => nowMs });
  const server = await listen(simulator.app, { host: '127.0.0.1', port: 0 });
  const control = (upstream: string, path = '') => `${server.url}/control/${upstream}${path}`;
  const send = (method: string, url: string, body?: unknown) =>
    fetch(url, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  return {
    url: server.url,
    /** Moves the simulator's clock forward. */
    advance: (ms: number) => {
      nowMs += ms;
    },
    send,
    control,
    faults: async (upstream: string, faults: Fault[], seed?: number) => {
      const res = await send('PUT', control(upstream, '/faults'), { faults, seed });
      if (!res.ok) throw new Error(await res.text());
    },
    settings: async (upstream: string, settings: object) => {
      const res = await send('PUT', control(upstream, '/settings'), settings);
      if (!res.ok) throw new Error(await res.text());
    },
    ledger: async (upstream: string) =>
      (await send('GET', control(upstream, '/ledger'))).json() as Promise<Facts>,
    async [Symbol.asyncDispose]() {
      simulator.stop();
      await server.close(0);
    },
  };
}

/** Waits until the check passes. */
export const until = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 15_000 });

/** The answer of `GET /control/:upstream/ledger`. */
export type Facts = {
  visits: {
    scheduleEventId: string;
    mPlanId: string;
    start: string;
    end: string;
    repId: string;
    writes: number;
  }[];
  visitsByItem: Record<string, number>;
  visitsMade: number;
  pendingWorkByItem: Record<string, number>;
  requests: LedgerEntry[];
  logins: number;
  smsSent: number;
  maxInFlight: number;
  inFlight: number;
  held: number;
};

/** All fields of docs/upstreams/crossmark.md, "Schedule a visit". */
export function visitForm(changes: Record<string, string> = {}): URLSearchParams {
  return new URLSearchParams({
    ClassName: 'MVScheduledmPlan',
    RepID: '151203',
    mPlanID: '12345678',
    LocationID: '157384',
    Start: '2025-09-30T09:00:00-04:00',
    End: '2025-09-30T15:30:00-04:00',
    hash: '',
    v: '3.0.1',
    PlanningOverride: 'true',
    ...changes,
  });
}

/** Signs in to Crossmark (docs/upstreams/crossmark.md, "Session"). */
export function crossmarkLogin(base: string, password = 'simulator'): Promise<Response> {
  return fetch(`${base}/crossmark/login/authenticate`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      UserType: 'MVEntityUser',
      UserID: 'simulator',
      Password: password,
      Timezone: 'America/Indianapolis',
    }),
  });
}

/** A signed-in Crossmark session. Its paths are relative to the mount. */
export async function crossmarkSession(base: string) {
  const res = await crossmarkLogin(base);
  const cookie = (res.headers.getSetCookie()[0] ?? '').split(';')[0] ?? '';
  const call = (path: string, init: RequestInit = {}) =>
    fetch(`${base}/crossmark${path}`, { redirect: 'manual', ...init, headers: { Cookie: cookie } });
  return {
    cookie,
    get: (path: string, init: RequestInit = {}) => call(path, init),
    post: (path: string, body?: URLSearchParams | FormData, init: RequestInit = {}) =>
      call(path, { ...init, method: 'POST', body }),
    schedule: (changes: Record<string, string> = {}, init: RequestInit = {}) =>
      call('/planningextcontroller/scheduleMplanEvent', {
        ...init,
        method: 'POST',
        body: visitForm(changes),
      }),
    plan: async (mPlanId: string) => {
      const searchFields = JSON.stringify({
        searchTerms: { mPlanID: { name: 'mPlanID', title: 'mPlanID', items: [{ id: 0, value: [mPlanId] }] } },
      });
      const query = new URLSearchParams({
        intervalStart: '2025-09-01',
        intervalEnd: '2025-10-31',
        searchFields,
        limit: '50',
      });
      const answer = await call(`/planningextcontroller/getPlanningMplans?${query}`);
      return (await answer.json()) as { mplans: Record<string, string>[]; total: number };
    },
  };
}

/** A cookie jar for one simulated browser. */
export function cookieJar() {
  const cookies = new Map<string, string>();
  return {
    cookies,
    async fetch(url: string, init: RequestInit = {}) {
      const Cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const res = await fetch(url, { redirect: 'manual', ...init, headers: { ...init.headers, Cookie } });
      for (const line of res.headers.getSetCookie()) {
        const pair = line.split(';')[0] ?? '';
        cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
      }
      return res;
    },
    json(url: string, body: unknown, headers: Record<string, string> = {}) {
      const init = { method: 'POST', body: JSON.stringify(body) };
      return this.fetch(url, { ...init, headers: { 'Content-Type': 'application/json', ...headers } });
    },
  };
}
