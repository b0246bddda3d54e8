/**
 * A small Walmart EDR for tests: the login host and the app on one loopback port, each with a path prefix. It records
 * every request. See docs/upstreams/walmart-edr.md.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A received request. */
export type Seen = {
  method: string;
  path: string;
  query: string;
  headers: IncomingMessage['headers'];
  body: string;
};
/** An answer. `null` drops the connection. */
export type Reply = { status: number; headers?: Record<string, string | string[]>; body?: string } | null;

const base = '/walmart-edr';
const login = '/walmart-edr-login';

/** A JWT without a valid signature. */
export function jwt(expiresAtSeconds: number, id = 1): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part({ exp: expiresAtSeconds, id })}.signature`;
}

/** An event detail report with all fields that must be dropped. */
export function report(eventId: number): Record<string, unknown> {
  return {
    demoId: eventId,
    demoName: 'Crackers tasting'.padEnd(100),
    demoDate: '2026-01-15',
    demoClassCode: 3,
    demoStatusCode: 2,
    demoLockInd: 'N',
    demoInstructions: null,
    demoCost: 12345,
    lastChangeUserid: 'someone',
    itemDetails: [
      {
        itemNbr: 123456789,
        gtin: 12345678901,
        itemDesc: 'CRACKERS  ',
        vendorNbr: 42,
        deptNbr: 1,
        demoCost: 7,
      },
    ],
    clubDetails: [{ storeNbr: 1, scheduledDate: '2026-01-15', demoStatusCode: 2, demoStatusDesc: 'x' }],
    historyDetails: [{ activityTs: 'x', actionText: 'x', sectionText: 'x', userId: 'someone' }],
    demoComment: [],
  };
}

export class TestWalmart {
  readonly seen: Seen[] = [];
  /** Answers by `METHOD path` (without the host's prefix) that override the usual ones. */
  readonly overrides = new Map<string, (seen: Seen) => Reply | undefined>();
  code = '123456';
  codeExpired = false;
  smsSent = 0;
  /** Expiry of new tokens, in seconds since the epoch. */
  tokenExpiresAt = Math.floor(Date.now() / 1_000) + 28_800;
  /** The valid bearer token, null if there is none. */
  token: string | null = null;
  /** False: the cookies cannot renew the token. */
  cookiesAlive = true;
  signedOut: Reply = { status: 401, headers: { 'content-type': 'application/json' }, body: '{}' };
  #serial = 0;
  readonly #server: Server = createServer((request, response) => void this.#answer(request, response));

  async start(): Promise<{ baseUrl: string; loginBaseUrl: string }> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return { baseUrl: `${origin}${base}`, loginBaseUrl: `${origin}${login}` };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Requests to one path, without the host's prefix. */
  to(path: string): Seen[] {
    return this.seen.filter((seen) => seen.path === path);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://host');
    const prefix = url.pathname.startsWith(`${login}/`) ? login : base;
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method = '', headers } = request;
    const path = url.pathname.slice(prefix.length);
    const seen = { method, path, query: url.search, headers, body };
    this.seen.push(seen);
    const key = `${method} ${path}`;
    const override = this.overrides.get(key)?.(seen);
    const reply = override === undefined ? this.#usual(key, seen) : override;
    if (reply === null) {
      request.socket.destroy();
      return;
    }
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
    response.end(reply.body ?? '');
  }

  #usual(key: string, seen: Seen): Reply {
    const cookie = seen.headers.cookie ?? '';
    const json = (status: number, value: unknown, ...cookies: string[]): Reply => ({
      status,
      headers: cookies.length > 0 ? { 'set-cookie': cookies } : {},
      body: JSON.stringify(value),
    });
    const asked = seen.body ? (JSON.parse(seen.body) as Record<string, unknown>) : {};
    switch (key) {
      case 'GET /login':
        return {
          status: 200,
          headers: { 'content-type': 'text/html', 'set-cookie': 'device=1; Path=/' },
          body: '<html>',
        };
      case 'POST /api/login':
        return cookie.includes('device=1') && asked.username === 'user' && asked.password === 'secret'
          ? json(200, {}, 'RLSESSION=login; Path=/')
          : json(401, { message: 'no' });
      case 'POST /api/mfa/sendCode':
        if (!cookie.includes('RLSESSION=login') || asked.credid !== 'phone') return json(400, {});
        this.smsSent += 1;
        return json(200, {}, `mfa=${this.smsSent}; Path=/`);
      case 'POST /api/mfa/validateCode':
        if (this.codeExpired) return json(400, { message: 'Code has expired' });
        return cookie.includes(`mfa=${this.smsSent}`) && asked.code === this.code && asked.failureCount === 0
          ? json(200, {}, '_auth=1; Path=/')
          : json(400, { message: 'wrong' });
      case 'GET /EventManagement/':
        return { status: 302, headers: { location: './home' } };
      case 'GET /EventManagement/home':
        return {
          status: 200,
          headers: { 'content-type': 'text/html', 'set-cookie': 'PA=0; Path=/' },
          body: '<html>',
        };
      case 'GET /EventManagement/api/authenticate':
        return cookie.includes('_auth=1') && this.cookiesAlive ? this.#newToken() : this.signedOut;
      case 'GET /EventManagement/api/edrReport':
      case 'POST /EventManagement/api/browse-event/browse-data':
        return this.#data(seen);
      default:
        return { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' };
    }
  }

  #newToken(): Reply {
    this.#serial += 1;
    this.token = jwt(this.tokenExpiresAt, this.#serial);
    const value = encodeURIComponent(
      JSON.stringify({ token: this.token, startTime: 'x', endTime: 'x', expiresIn: 480 }),
    );
    return { status: 200, headers: { 'set-cookie': `auth-token=${value}; Path=/` }, body: '{}' };
  }

  #data(seen: Seen): Reply {
    if (this.token === null || seen.headers.authorization !== `Bearer ${this.token}`) return this.signedOut;
    this.#serial += 1;
    const rotated = {
      'set-cookie': [`PA=${this.#serial}; Path=/; Max-Age=2340`, `TS=${this.#serial}; Path=/`],
    };
    const eventId = Number(new URLSearchParams(seen.query).get('id'));
    const body = seen.method === 'GET' ? report(eventId) : [];
    return { status: 200, headers: rotated, body: JSON.stringify(body) };
  }
}
