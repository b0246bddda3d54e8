import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { Redis } from 'ioredis';
import { afterAll, afterEach, describe, expect, inject, it } from 'vitest';
import { upstreamSettings } from '../contract/settings.ts';
import type { AttemptContext, UpstreamClient } from '../contract/upstream.ts';
import { SessionStore } from '../session/store.ts';
import { createCrossmarkClient } from './client.ts';
import { crossmark } from './definition.ts';

const redis = new Redis(inject('redisUrl'));
const cleanups: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(() => redis.disconnect());

type Seen = {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: string;
};
type Reply = (response: ServerResponse, seen: Seen) => void;

const controllers = '/planningextcontroller';
const schedulePath = `${controllers}/scheduleMplanEvent`;
const deletePath = `${controllers}/deleteScheduledMplanEvent`;
const planningPath = `${controllers}/getPlanningMplans`;
const reissuePath = '/pendingworkextcontroller/createPendingWork/';
const loginPath = '/login/authenticate';
const loginPage = '<html><title>Login</title><form action="/login"><input type="password"></form></html>';

/** Answers like the recordings, with a path prefix: JSON as text/html, a session cookie, one answer per path. */
class StandIn {
  readonly seen: Seen[] = [];
  readonly replies = new Map<string, Reply>();
  /** The answer for an expired session. */
  signedOut: Reply = (response) => response.writeHead(401).end();
  sessions = new Set<string>();
  base = '';

  count(path: string): number {
    return this.seen.filter((each) => each.path === path).length;
  }

  last(path: string): Seen {
    const found = this.seen.findLast((each) => each.path === path);
    if (!found) throw new Error(`no request to ${path}`);
    return found;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/crossmark`;
    const close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
    this.stop = close;
    cleanups.push(close);
  }

  stop: () => Promise<void> = async () => {};

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://host');
    let body = '';
    for await (const chunk of request) body += chunk;
    const path = url.pathname.replace(/^\/crossmark/, '');
    const seen = {
      method: request.method ?? '',
      path,
      query: url.searchParams,
      headers: request.headers,
      body,
    };
    this.seen.push(seen);
    const reply = this.replies.get(path);
    if (path === loginPath) return (reply ?? this.login)(response, seen);
    const session = /PHPSESSID=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? '';
    if (!this.sessions.has(session)) return this.signedOut(response, seen);
    (reply ?? ((each) => json(each, { ok: 0 })))(response, seen);
  }

  login: Reply = (response) => {
    const id = `s${this.count(loginPath)}`;
    this.sessions.add(id);
    response.setHeader('set-cookie', `PHPSESSID=${id}; path=/; HttpOnly`);
    json(response, { redirectUrl: '/scheduling/' });
  };
}

function json(response: ServerResponse, body: unknown): void {
  response.setHeader('content-type', 'text/html; charset="utf-8"');
  response.end(JSON.stringify(body));
}

const scheduled: Reply = (response, { body }) => {
  const form = new URLSearchParams(body);
  const ids = {
    RepID: Number(form.get('RepID')),
    mPlanID: Number(form.get('mPlanID')),
    LocationID: Number(form.get('LocationID')),
  };
  json(response, {
    ok: 1,
    MVScheduledEvent: { ID: 44000001, Start: '2025-09-30T13:00:00+00:00', IsDeleted: '0', ...ids },
  });
};

const sealer = createSealer(randomBytes(32));

type Logged = { fields: object; message: string };

async function setUp(env: Record<string, string> = {}) {
  const upstream = new StandIn();
  await upstream.start();
  upstream.replies.set(schedulePath, scheduled);
  const root = `test-${randomUUID()}:{crossmark}`;
  const settings = upstreamSettings(crossmark, {
    CROSSMARK_BASE_URL: upstream.base,
    CROSSMARK_USERNAME: 'robot-user',
    CROSSMARK_PASSWORD: 'robot-password',
    CROSSMARK_TIMEZONE: 'America/Indiana/Indianapolis',
    ...env,
  });
  const logged: Logged[] = [];
  const log = {
    info: (fields: object, message: string) => void logged.push({ fields, message }),
    warn: (fields: object, message: string) => void logged.push({ fields, message }),
  };
  const makeClient = (worker: string, override: Partial<typeof settings> = {}): UpstreamClient => {
    const sessions = new SessionStore({ redis, root, sealer, worker, pollMs: 5 });
    const client = createCrossmarkClient({ settings: { ...settings, ...override }, sessions, log });
    cleanups.push(() => client.close());
    return client;
  };
  return { upstream, root, logged, makeClient, client: makeClient('w1') };
}

function context(options: { onSending?: () => Promise<void>; signal?: AbortSignal } = {}): AttemptContext {
  return {
    // Never aborts. Only the test's own timeout applies.
    signal: options.signal ?? new AbortController().signal,
    onSending: options.onSending ?? (async () => {}),
    headers: { 'x-request-id': 'r-1' },
  };
}

const booking = {
  repId: '123456',
  mPlanId: '31000001',
  locationId: '205001',
  start: '2025-09-30T13:00:00Z',
  end: '2025-09-30T19:30:00Z',
};
const visit = { scheduleEventId: '44000001', mPlanId: '31000001', locationId: '205001' };
const planningRow = {
  mPlanID: 31000001,
  name: '123456 Core visit',
  storeID: '205001',
  storeName: 'Store',
  startDate: '09/29/2025',
  endDate: '10/05/2025',
  scheduleDate: '09/30/2025 09:00:00 AM',
  condition: 'Scheduled',
  staffedReps: 'A Person',
  scheduleRepID: 123456,
  scheduleEventID: '44000001',
  salesTools: [{ salesToolURL: 'https://host.test/x.pdf?Signature=secret' }],
};

describe('requests', () => {
  it('signs in and books with exactly the recorded fields', async () => {
    const { upstream, client } = await setUp();
    const order: string[] = [];
    const onSending = async () => void order.push(`sending after ${upstream.seen.map(({ path }) => path)}`);
    expect(await client.run('schedule-event', booking, context({ onSending }))).toEqual({
      kind: 'done',
      health: 'up',
      status: 200,
      result: { scheduleEventId: '44000001', ...booking },
    });
    expect(order).toEqual([`sending after ${loginPath}`]);
    expect(upstream.seen).toHaveLength(2);

    const login = upstream.last(loginPath);
    expect(login.headers['content-type']).toBe('application/json');
    expect(JSON.parse(login.body)).toEqual({
      UserType: 'MVEntityUser',
      UserID: 'robot-user',
      Password: 'robot-password',
      Timezone: 'America/Indiana/Indianapolis',
    });
    expect(login.headers.referer).toBe(`${upstream.base}/login`);

    const { headers, body, method } = upstream.last(schedulePath);
    expect(method).toBe('POST');
    expect(body).toBe(
      'ClassName=MVScheduledmPlan&RepID=123456&mPlanID=31000001&LocationID=205001' +
        '&Start=2025-09-30T09%3A00%3A00-04%3A00&End=2025-09-30T15%3A30%3A00-04%3A00' +
        '&hash=&v=3.0.1&PlanningOverride=true',
    );
    expect(headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      'x-requested-with': 'XMLHttpRequest',
      accept: '*/*',
      origin: new URL(upstream.base).origin,
      referer: `${upstream.base}/planning/`,
      cookie: 'PHPSESSID=s1',
      'x-request-id': 'r-1',
    });
    expect(headers['user-agent']).toMatch(/^Recloser\//);
  });

  it('unschedules by the visit id alone', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(deletePath, (response) => json(response, { ok: 1 }));
    let marks = 0;
    const onSending = async () => void marks++;
    expect(await client.run('unschedule-event', visit, context({ onSending }))).toMatchObject({
      kind: 'done',
      result: { scheduleEventId: '44000001' },
    });
    expect(upstream.last(deletePath).body).toBe('id=44000001');
    expect(marks).toBe(1);
  });

  it('reissues with createPendingWork only', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(reissuePath, (response) => json(response, { success: true }));
    const input = {
      mPlanId: '31000001',
      locationId: '205001',
      repId: '123456',
      expirationDate: '2025-10-06',
    };
    const extra = { scheduleEventId: '44000001', comments: 'again & better', includeResponses: true };
    expect(await client.run('reissue-event', input, context())).toMatchObject({ kind: 'done' });
    const expected = {
      workLogEntryID: '',
      storeID: '205001',
      mPlanID: '31000001',
      reissueBulkJson: '[]',
      action: 'reissue',
      includeResponses: 'false',
      pendingWorkReasonComments: '',
      public: 'true',
      excludeReps: 'false',
      excludedRepIDs: '[]',
      overrideReps: 'true',
      overriddenRepIDs: '[123456]',
      expirationDate: '2025-10-06T00:00:00',
      additionalEmail: '',
    };
    expect(Object.fromEntries(new URLSearchParams(upstream.last(reissuePath).body))).toEqual(expected);
    await client.run('reissue-event', { ...input, ...extra }, context());
    expect(Object.fromEntries(new URLSearchParams(upstream.last(reissuePath).body))).toEqual({
      ...expected,
      workLogEntryID: '44000001',
      includeResponses: 'true',
      pendingWorkReasonComments: 'again & better',
    });
    expect(upstream.count(schedulePath)).toBe(0);
  });

  it('lists planning over several pages, without names and signed links', async () => {
    const { upstream, client } = await setUp();
    const all = [
      planningRow,
      { ...planningRow, mPlanID: '31000002', scheduleRepID: null, scheduleDate: '' },
      { ...planningRow, mPlanID: 31000003 },
    ];
    upstream.replies.set(planningPath, (response, { query }) => {
      const page = Number(query.get('page'));
      json(response, { mplans: all.slice((page - 1) * 2, page * 2), total: '3' });
    });
    const input = { startDate: '2025-09-01', endDate: '2025-10-01' };
    const outcome = await client.run('list-planning', input, context());
    expect(outcome).toMatchObject({ kind: 'done', result: { total: 3 } });
    const { result } = outcome as { result: unknown };
    const parsed = crossmark.operations['list-planning'].result.parse(result);
    expect(parsed.items.map(({ mPlanId }) => mPlanId)).toEqual(['31000001', '31000002', '31000003']);
    expect(parsed.items[0]).toEqual({
      mPlanId: '31000001',
      name: '123456 Core visit',
      locationId: '205001',
      locationName: 'Store',
      storeNumber: null,
      startDate: '2025-09-29',
      endDate: '2025-10-05',
      scheduleDate: '2025-09-30T09:00:00-04:00',
      condition: 'Scheduled',
      scheduleRepId: '123456',
      scheduleEventId: '44000001',
    });
    expect(JSON.stringify(result)).not.toMatch(/Person|Signature/);

    const [first, second] = upstream.seen.filter(({ path }) => path === planningPath);
    expect(Object.fromEntries(first?.query ?? [])).toMatchObject({
      intervalStart: '2025-09-01',
      intervalEnd: '2025-10-01',
      showAllActive: 'false',
      searchFilter: '',
      page: '1',
      start: '0',
      limit: '5000',
      sort: '[{"property":"startDate","direction":"ASC"}]',
    });
    expect(first?.query.get('_dc')).toMatch(/^\d{13}$/);
    expect(JSON.parse(first?.query.get('searchFields') ?? '').searchTerms.condition.items).toHaveLength(9);
    expect(second?.query.get('start')).toBe('5000');
    expect(first?.headers.origin).toBeUndefined();
  });

  it('does not return an incomplete planning list', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, (response) => json(response, { mplans: [planningRow], total: 9 }));
    const outcome = await client.run(
      'list-planning',
      { startDate: '2025-09-01', endDate: '2025-10-01' },
      context(),
    );
    expect(outcome).toMatchObject({ kind: 'retry', health: 'up', code: 'incomplete_list' });
    expect(upstream.count(planningPath)).toBe(2);
  });

  it('reads on while pages are full when Crossmark names no total', async () => {
    const { upstream, client } = await setUp();
    let pages = 0;
    upstream.replies.set(planningPath, (response, { query }) => {
      pages += 1;
      const start = Number(query.get('start'));
      const size = start === 0 ? Number(query.get('limit')) : 1;
      const mplans = Array.from({ length: size }, (_, n) => ({
        ...planningRow,
        mPlanID: String(30000000 + start + n),
      }));
      json(response, { mplans });
    });
    const input = { startDate: '2027-01-04', endDate: '2027-01-05' };
    const outcome = await client.run('list-planning', input, context());
    expect(outcome).toMatchObject({ kind: 'done', result: { total: 5_001 } });
    expect(pages).toBe(2);
  });

  it('reads the two rep lists', async () => {
    const { upstream, client } = await setUp();
    const available = '/schedulingcontroller/getAvailableReps';
    const qualified = `${controllers}/getQualifiedRepsForScheduling`;
    upstream.replies.set(available, (response) =>
      json(response, {
        reps: { 500: { id: '500', repId: '500', employeeId: 'US1', title: 'A Person', visitCount: '2' } },
      }),
    );
    upstream.replies.set(qualified, (response) =>
      json(response, {
        reps: [{ ID: '500', FirstName: 'A', LastName: 'Person', Timezone: 'UTC', OfflineHash: 'x' }],
      }),
    );
    const range = { start: '2025-12-01T14:00:00Z', end: '2025-12-08T14:00:00Z' };
    const one = await client.run('list-available-reps', range, context());
    expect(one).toMatchObject({ result: { reps: [{ repId: '500', name: 'A Person', visitCount: 2 }] } });
    crossmark.operations['list-available-reps'].result.parse((one as { result: unknown }).result);
    expect(upstream.last(available).body).toContain(
      'name="project"\r\n\r\n12/01/2025 09:00:00,12/08/2025 09:00:00\r\n',
    );
    expect(upstream.last(available).headers.referer).toBe(`${upstream.base}/scheduling/hourly/`);

    const two = await client.run(
      'list-qualified-reps',
      { mPlanId: '31000001', locationId: '205001' },
      context(),
    );
    crossmark.operations['list-qualified-reps'].result.parse((two as { result: unknown }).result);
    expect(Object.fromEntries(upstream.last(qualified).query)).toMatchObject({
      mPlanID: '31000001',
      storeID: '205001',
      page: '1',
      start: '0',
      limit: '100',
    });
  });

  it('rejects an unknown operation or an invalid input, and sends nothing', async () => {
    const { upstream, client } = await setUp();
    expect(await client.run('toString', {}, context())).toMatchObject({
      kind: 'reject',
      code: 'unknown_operation',
    });
    const wrong = { ...booking, end: booking.start };
    expect(await client.run('schedule-event', wrong, context())).toMatchObject({
      kind: 'reject',
      code: 'invalid_input',
    });
    expect(upstream.seen).toHaveLength(0);
  });
});

describe('sessions', () => {
  it('uses one sign-in for many calls and several workers', async () => {
    const { upstream, client, makeClient } = await setUp();
    const clients = [client, makeClient('w2'), makeClient('w3')];
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        (clients[index % 3] as UpstreamClient).run('schedule-event', booking, context()),
      ),
    );
    expect(outcomes.every(({ kind }) => kind === 'done')).toBe(true);
    expect(upstream.count(loginPath)).toBe(1);
    expect(upstream.count(schedulePath)).toBe(12);
  });

  it.each<[string, Reply]>([
    ['401', (response) => response.writeHead(401).end()],
    ['403', (response) => response.writeHead(403).end('<html>no</html>')],
    ['302', (response) => response.writeHead(302, { location: '/crossmark/login' }).end()],
  ])('renews a session that ended with %s and makes the same attempt again', async (_style, signedOut) => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, (response) => json(response, { mplans: [], total: 0 }));
    upstream.signedOut = signedOut;
    let marks = 0;
    const onSending = async () => void marks++;
    await client.run('schedule-event', booking, context());
    upstream.sessions.clear();
    expect(await client.run('schedule-event', booking, context({ onSending }))).toMatchObject({
      kind: 'done',
    });
    expect(upstream.count(loginPath)).toBe(2);
    expect(upstream.count(schedulePath)).toBe(3);
    expect(marks).toBe(1);
  });

  it('does not repeat a write that got a login page, but signs in for later calls', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, (response) => json(response, { mplans: [], total: 0 }));
    upstream.signedOut = (response) => {
      response.writeHead(200, { 'content-type': 'text/html', 'set-cookie': 'PHPSESSID=anonymous; path=/' });
      response.end(loginPage);
    };
    await client.run('schedule-event', booking, context());
    upstream.sessions.clear();
    expect(await client.run('schedule-event', booking, context())).toMatchObject({
      kind: 'in_doubt',
      health: 'unknown',
      code: 'login_page',
      ended: true,
    });
    expect([upstream.count(schedulePath), upstream.count(loginPath)]).toEqual([2, 2]);
    expect(await client.run('schedule-event', booking, context())).toMatchObject({ kind: 'done' });
    expect(upstream.count(loginPath)).toBe(2);
  });

  it.each<[string, Reply]>([
    ['a 403 page', (response) => response.writeHead(403).end('<html>Forbidden</html>')],
    ['a redirect to the login', (response) => response.writeHead(302, { location: '/login' }).end()],
    [
      'a redirect to the login with a cookie of a stranger',
      (response) => {
        response.writeHead(302, { location: '/login', 'set-cookie': 'PHPSESSID=anonymous; path=/' }).end();
      },
    ],
    ['a page that speaks of authentication', (response) => response.end('<b>Authentication failed</b>')],
    ['a page with a link to the login', (response) => response.end('<html><a href="/login">Back</a></html>')],
  ])('books once when the session lives and the write is answered with %s', async (_what, reply) => {
    const { upstream, client } = await setUp();
    let applied = 0;
    upstream.replies.set(planningPath, (response) => json(response, { mplans: [], total: 0 }));
    upstream.replies.set(schedulePath, (response, seen) => {
      applied += 1;
      reply(response, seen);
    });
    const outcome = await client.run('schedule-event', booking, context());
    expect(outcome).toMatchObject({ kind: 'in_doubt' });
    expect([applied, upstream.count(loginPath)]).toEqual([1, 1]);
  });

  it.each<[string, Reply]>([
    ['fails', (response) => response.writeHead(502).end()],
    ['is asked to wait', (response) => response.writeHead(429).end()],
  ])(
    'does not repeat a write that got a 403 page when the read in the new session %s',
    async (_what, reply) => {
      const { upstream, client } = await setUp();
      await client.run('schedule-event', booking, context());
      let applied = 0;
      upstream.replies.set(planningPath, (response, seen) =>
        upstream.count(loginPath) > 1
          ? reply(response, seen)
          : response.writeHead(403).end('<html>no</html>'),
      );
      upstream.replies.set(schedulePath, (response) => {
        applied += 1;
        response.writeHead(403).end('<html>Forbidden</html>');
      });
      expect(await client.run('schedule-event', booking, context())).toMatchObject({ kind: 'in_doubt' });
      expect([applied, upstream.count(loginPath)]).toEqual([1, 2]);
    },
  );

  it("rejects a write that gets the API's own 403 in a session that lives", async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, (response) => json(response, { mplans: [], total: 0 }));
    upstream.replies.set(schedulePath, (response) => {
      response.writeHead(403, { 'content-type': 'application/json' }).end('{"error":"not yours"}');
    });
    await client.run('list-planning', { startDate: '2027-01-04', endDate: '2027-01-05' }, context());
    expect(await client.run('schedule-event', booking, context())).toMatchObject({
      kind: 'reject',
      code: 'request_refused',
    });
  });

  it('drops a session whose cookies have become too large, and signs in again', async () => {
    const { upstream, client } = await setUp();
    let refused = 0;
    await client.run('schedule-event', booking, context());
    upstream.replies.set(planningPath, (response) => {
      if (upstream.count(loginPath) > 1) return json(response, { mplans: [], total: 0 });
      refused += 1;
      response.writeHead(431).end('<html>Request Header Fields Too Large</html>');
    });
    const read = { startDate: '2025-09-01', endDate: '2025-09-02' };
    expect(await client.run('list-planning', read, context())).toMatchObject({ kind: 'done' });
    expect([refused, upstream.count(loginPath)]).toEqual([1, 2]);
  });

  it('limits the size of the jar, also after a restart', async () => {
    const { upstream, client, makeClient } = await setUp();
    let [n, longest] = [0, 0];
    upstream.replies.set(planningPath, (response, { headers }) => {
      longest = Math.max(longest, headers.cookie?.length ?? 0);
      response.setHeader('set-cookie', `trk${n++}=${'x'.repeat(200)}; path=/`);
      json(response, { mplans: [], total: 0 });
    });
    const read = { startDate: '2025-09-01', endDate: '2025-09-02' };
    for (let i = 0; i < 30; i += 1) await client.run('list-planning', read, context());
    await makeClient('w2').run('list-planning', read, context());
    expect(longest).toBeGreaterThan(2_000);
    expect(longest).toBeLessThanOrEqual(4_000);
    expect(upstream.count(loginPath)).toBe(1);
  });

  it('signs in once for parallel calls that are all signed out', async () => {
    const { upstream, client, makeClient } = await setUp();
    const other = makeClient('w2');
    await client.run('schedule-event', booking, context());
    await other.run('schedule-event', booking, context());
    upstream.sessions.clear();
    const outcomes = await Promise.all(
      [client, other, client, other].map((each) => each.run('schedule-event', booking, context())),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(['done', 'done', 'done', 'done']);
    expect(upstream.count(loginPath)).toBe(2);
  });

  it('replaces a newer session that has expired too, with one repeat per attempt', async () => {
    const { upstream, client, makeClient } = await setUp();
    await client.run('schedule-event', booking, context());
    upstream.sessions.clear();
    await makeClient('w2').run('schedule-event', booking, context());
    upstream.sessions.clear();
    expect(await client.run('schedule-event', booking, context())).toMatchObject({
      kind: 'snooze',
      code: 'session_replaced',
    });
    expect(await client.run('schedule-event', booking, context())).toMatchObject({ kind: 'done' });
    expect(upstream.count(loginPath)).toBe(3);
  });

  it('sets a sign-in hold if it is signed out right after a sign-in', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(schedulePath, (response) => response.writeHead(401).end());
    expect(await client.run('schedule-event', booking, context())).toMatchObject({
      kind: 'snooze',
      code: 'signed_out_again',
      hold: { kind: 'sign-in' },
    });
    expect(upstream.count(loginPath)).toBe(1);
  });

  it('tries refused credentials once in the whole fleet, and sets a hold that says what to do', async () => {
    const { upstream, client, makeClient, logged } = await setUp();
    upstream.replies.set(loginPath, (response) => response.end(loginPage));
    const outcomes = [
      ...(await Promise.all([1, 2, 3].map(() => client.run('schedule-event', booking, context())))),
      await makeClient('w2').run(
        'list-planning',
        { startDate: '2025-09-01', endDate: '2025-09-02' },
        context(),
      ),
    ];
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        kind: 'snooze',
        health: 'unknown',
        code: 'sign_in_refused',
        hold: { kind: 'sign-in' },
      });
      expect(JSON.stringify(outcome)).toContain('CROSSMARK_PASSWORD');
    }
    expect(upstream.count(loginPath)).toBe(1);
    expect(JSON.stringify([outcomes, logged])).not.toMatch(/robot-/);

    upstream.replies.delete(loginPath);
    const corrected = makeClient('w3', { password: 'other' });
    expect(await corrected.run('schedule-event', booking, context())).toMatchObject({ kind: 'done' });
  });

  it('retries, and is never in doubt, if the upstream is down during the sign-in', async () => {
    const { upstream, client } = await setUp();
    let marks = 0;
    const onSending = async () => void marks++;
    upstream.replies.set(loginPath, (response) => response.writeHead(502).end());
    expect(await client.run('schedule-event', booking, context({ onSending }))).toMatchObject({
      kind: 'retry',
      health: 'down',
      code: 'sign_in_failed',
    });
    expect(marks).toBe(0);
  });

  it('returns well before its timeout if the sign-in hangs', async () => {
    const { upstream, client } = await setUp({ CROSSMARK_TIMEOUT_MS: '100' });
    upstream.replies.set(loginPath, () => {});
    expect(await client.run('schedule-event', booking, context())).toMatchObject({
      kind: 'retry',
      health: 'down',
      code: 'sign_in_failed',
    });
  });

  it('saves cookies that the upstream changes', async () => {
    const { upstream, client, makeClient } = await setUp();
    upstream.replies.set(schedulePath, (response, seen) => {
      upstream.sessions.add('rotated');
      response.setHeader('set-cookie', 'PHPSESSID=rotated; path=/');
      scheduled(response, seen);
    });
    await client.run('schedule-event', booking, context());
    await client.run('schedule-event', booking, context());
    expect(upstream.last(schedulePath).headers.cookie).toBe('PHPSESSID=rotated');
    await makeClient('w2').run('schedule-event', booking, context());
    expect(upstream.last(schedulePath).headers.cookie).toBe('PHPSESSID=rotated');
    expect(upstream.count(loginPath)).toBe(1);
  });

  it('keeps the session sealed in Redis', async () => {
    const { client, root } = await setUp();
    await client.run('schedule-event', booking, context());
    const stored = JSON.stringify(await redis.hgetall(`${root}:session`));
    expect(stored).toContain('"sealed":"s1.');
    expect(stored).not.toMatch(/PHPSESSID|robot/);
  });
});

describe('failures', () => {
  it('is in doubt when the write was applied and the connection then broke', async () => {
    const { upstream, client } = await setUp();
    let applied = 0;
    upstream.replies.set(schedulePath, (response) => {
      applied += 1;
      response.socket?.destroy();
    });
    expect(await client.run('schedule-event', booking, context())).toMatchObject({
      kind: 'in_doubt',
      health: 'down',
      code: 'connection_lost',
    });
    expect(applied).toBe(1);
  });

  it('is in doubt when the write gets no answer in time', async () => {
    const { upstream, client } = await setUp();
    await client.run('schedule-event', booking, context());
    const time = new AbortController();
    // Like `AbortSignal.timeout`.
    upstream.replies.set(schedulePath, () => time.abort(new DOMException('', 'TimeoutError')));
    const { signal } = time;
    expect(await client.run('schedule-event', booking, context({ signal }))).toMatchObject({
      kind: 'in_doubt',
      health: 'down',
      code: 'timeout',
    });
  });

  it('retries a write if the connection is refused', async () => {
    const { upstream, client } = await setUp();
    await client.run('schedule-event', booking, context());
    await upstream.stop();
    // The closed idle connection of the first call may show only when it is used.
    await expect
      .poll(async () => client.run('schedule-event', booking, context()))
      .toMatchObject({ kind: 'retry', health: 'down', code: 'unreachable' });
  });

  it('sends nothing when the sending mark cannot be stored', async () => {
    const { upstream, client } = await setUp();
    const onSending = async () => Promise.reject(new Error('no Redis'));
    await expect(client.run('schedule-event', booking, context({ onSending }))).rejects.toThrow('no Redis');
    expect(upstream.count(schedulePath)).toBe(0);
  });

  it('needs no sending mark for a read', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, (response) => json(response, { mplans: [], total: 0 }));
    const onSending = async () => Promise.reject(new Error('not for reads'));
    const input = { startDate: '2025-09-01', endDate: '2025-10-01' };
    expect(await client.run('list-planning', input, context({ onSending }))).toMatchObject({
      kind: 'done',
      result: { items: [], total: 0 },
    });
  });
});

describe('verify', () => {
  it('can prove two of the writes', async () => {
    const { client } = await setUp();
    const provable = Object.keys(crossmark.operations).filter((name) => client.canVerify(name));
    expect(provable).toEqual(['schedule-event', 'unschedule-event']);
  });

  it('reads the planning list for the item', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, (response) => json(response, { mplans: [planningRow], total: 1 }));
    expect(await client.verify('schedule-event', booking, context())).toEqual({
      kind: 'applied',
      health: 'up',
      result: { scheduleEventId: '44000001', ...booking },
    });
    const { query } = upstream.last(planningPath);
    const { mPlanID } = JSON.parse(query.get('searchFields') ?? '').searchTerms;
    expect(mPlanID.items).toEqual([
      { id: 1, value: ['31000001'], displayValue: ['31000001'], exactmatch: true, allActive: false },
    ]);
    expect(await client.verify('unschedule-event', visit, context())).toEqual({
      kind: 'absent',
      health: 'up',
    });
    expect(
      await client.verify('unschedule-event', { ...visit, scheduleEventId: '9' }, context()),
    ).toMatchObject({
      kind: 'applied',
    });
  });

  it('is unreadable when the read fails', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, (response) => response.writeHead(500).end());
    expect(await client.verify('schedule-event', booking, context())).toMatchObject({
      kind: 'unreadable',
      outcome: { kind: 'retry', health: 'down' },
    });
  });
});

describe('probe', () => {
  it.each<[string, Reply, string]>([
    ['a list', (response) => json(response, { mplans: [planningRow], total: 500 }), 'pass'],
    ['a refusal', (response) => json(response, { ok: 0 }), 'pass'],
    ['its own 404', (response) => response.writeHead(404).end('{"error":"no"}'), 'pass'],
    ['a 404 page', (response) => response.writeHead(404).end('<html>nginx</html>'), 'fail'],
    ['429', (response) => response.writeHead(429).end(), 'pass'],
    ['500', (response) => response.writeHead(500).end(), 'fail'],
    ['503 with Retry-After', (response) => response.writeHead(503, { 'retry-after': '5' }).end(), 'fail'],
    ['a page', (response) => response.end('<html>Maintenance</html>'), 'fail'],
    ['a reset', (response) => response.socket?.destroy(), 'fail'],
  ])('of %s', async (_name, reply, verdict) => {
    const { upstream, client } = await setUp();
    upstream.replies.set(planningPath, reply);
    expect(await client.probe?.(context())).toMatchObject({ verdict });
    expect(upstream.count(planningPath)).toBe(1);
  });

  it('is inconclusive if the sign-in is refused or aborted, and fails if the sign-in is down', async () => {
    const { upstream, client } = await setUp();
    upstream.replies.set(loginPath, (response) => response.writeHead(500).end());
    expect(await client.probe?.(context())).toMatchObject({ verdict: 'fail' });
    expect(await client.probe?.(context({ signal: AbortSignal.abort() }))).toMatchObject({
      verdict: 'inconclusive',
    });
    upstream.replies.set(loginPath, (response) => response.writeHead(401).end('{"error":"no"}'));
    await expect.poll(() => client.probe?.(context())).toMatchObject({ verdict: 'inconclusive' });
  });
});
