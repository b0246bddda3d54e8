import { randomBytes, randomUUID } from 'node:crypto';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { Redis } from 'ioredis';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  inject,
  it,
  onTestFinished,
} from 'vitest';
import { jwt, type Reply, TestWalmart } from '../../test-kit/walmart-edr-server.ts';
import { upstreamSettings } from '../contract/settings.ts';
import type { AttemptContext, UpstreamClient } from '../contract/upstream.ts';
import { SessionStore } from '../session/store.ts';
import { createWalmartEdrClient } from './client.ts';
import { walmartEdr } from './definition.ts';

const sealer = createSealer(randomBytes(32));
const reason =
  'Walmart EDR requires a sign-in with a text-message code. An operator enters the code on the admin page /sign-in/walmart-edr.';
const report = '/EventManagement/api/edrReport';
const authenticate = '/EventManagement/api/authenticate';
const html = (status: number, body: string): Reply => ({
  status,
  headers: { 'content-type': 'text/html' },
  body,
});

let walmart: TestWalmart;
let urls: { baseUrl: string; loginBaseUrl: string };
let redis: Redis;
let root: string;
let logged: string[];

beforeAll(() => {
  redis = new Redis(inject('redisUrl'));
});

beforeEach(async () => {
  walmart = new TestWalmart();
  urls = await walmart.start();
  root = `test-${randomUUID()}:{walmart-edr}`;
  logged = [];
});

afterEach(async () => {
  await walmart.close();
});

afterAll(() => redis.disconnect());

function worker(
  name: string,
  env: Record<string, string> = {},
): { client: UpstreamClient; sessions: SessionStore } {
  const sessions = new SessionStore({ redis, root, sealer, worker: name, pollMs: 5 });
  const settings = upstreamSettings(walmartEdr, {
    WALMART_EDR_BASE_URL: urls.baseUrl,
    WALMART_EDR_LOGIN_BASE_URL: urls.loginBaseUrl,
    WALMART_EDR_USERNAME: 'user',
    WALMART_EDR_PASSWORD: 'secret',
    WALMART_EDR_MFA_CREDENTIAL_ID: 'phone',
    ...env,
  });
  const write = (fields: object, message: string) => void logged.push(JSON.stringify([fields, message]));
  const client = createWalmartEdrClient({ settings, sessions, log: { info: write, warn: write } });
  onTestFinished(() => client.close());
  return { client, sessions };
}

/** Never aborts. Only the test's own timeout applies. */
const patient = () => new AbortController().signal;

function context(): AttemptContext {
  return { signal: patient(), onSending: async () => {} };
}

function getReport({ client }: { client: UpstreamClient }, eventId = '123456') {
  return client.run('get-report', { eventId }, context());
}

function signInStep({ client }: { client: UpstreamClient }, code?: string) {
  const step = code === undefined ? { step: 'send-code' as const } : { step: 'verify' as const, code };
  return client.signInStep?.(step, patient());
}

async function signIn(by: { client: UpstreamClient }): Promise<void> {
  expect(await signInStep(by)).toEqual({ kind: 'code-sent' });
  expect(await signInStep(by, '123456')).toEqual({ kind: 'signed-in' });
  walmart.seen.length = 0;
}

/** Simulates that the last message was sent more than 30 s ago. */
async function forgetSpacing(): Promise<void> {
  await redis.del(`${root}:session:code-claim`);
}

describe('sign-in', () => {
  it('follows the documented steps with their cookies, and signs in for every worker', async () => {
    const [one, two] = [worker('one'), worker('two')];
    expect(await signInStep(one)).toEqual({ kind: 'code-sent' });
    // The code may be verified by another worker than the one that sent it.
    expect(await signInStep(two, ' 123456 ')).toEqual({ kind: 'signed-in' });
    expect(walmart.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /login',
      'POST /api/login',
      'POST /api/mfa/sendCode',
      'POST /api/mfa/validateCode',
      'GET /rl_portal_services/api/Site/InsertRlPageDetails',
      'GET /rl_portal/',
      'GET /EventManagement/',
      'GET /EventManagement/home',
      'GET /EventManagement/api/authenticate',
    ]);
    expect(JSON.parse(walmart.to('/api/login')[0]?.body ?? '')).toEqual({
      username: 'user',
      password: 'secret',
      language: 'en',
    });
    expect(JSON.parse(walmart.to('/api/mfa/sendCode')[0]?.body ?? '')).toEqual({
      type: 'SMS_OTP',
      credid: 'phone',
    });
    expect(walmart.seen[4]?.query).toBe('?pageId=6&pageSubId=w6040&pageSubDesc=Event+Management+System');
    expect(walmart.smsSent).toBe(1);
    expect(await getReport(one)).toMatchObject({ kind: 'done' });
    expect(await getReport(two)).toMatchObject({ kind: 'done' });
    expect(await redis.exists(`${root}:session:refusal`)).toBe(0);
  });

  it('stores only encrypted data in Redis and logs no secret', async () => {
    const one = worker('one');
    await signInStep(one);
    const pending = (await redis.get(`${root}:session:pending`)) ?? '';
    expect(pending).toMatch(/^s1\./);
    await signInStep(one, '123456');
    expect(await redis.hget(`${root}:session`, 'sealed')).toMatch(/^s1\./);
    expect(logged.join()).not.toMatch(/123456|secret|user"|phone|Bearer|RLSESSION/);
    expect(logged).toHaveLength(2);
  });

  it('sends one code in 30 s for the whole fleet, even after the code was used', async () => {
    const [one, two] = [worker('one'), worker('two')];
    await signInStep(one);
    expect(await signInStep(two)).toMatchObject({ kind: 'refused', code: 'too_soon' });
    await signInStep(one, '123456');
    expect(await signInStep(two)).toMatchObject({ kind: 'refused', code: 'too_soon' });
    expect(walmart.smsSent).toBe(1);
  });

  it('sends one code for two parallel requests', async () => {
    const results = await Promise.all([signInStep(worker('one')), signInStep(worker('two'))]);
    expect(results.map((result) => result?.kind).sort()).toEqual(['code-sent', 'refused']);
    expect(walmart.smsSent).toBe(1);
  });

  it('logs in once and sends one code for many parallel requests', async () => {
    const asking = Array.from({ length: 6 }, (_, index) => signInStep(worker(`w${index}`)));
    const results = await Promise.all(asking);
    expect(results.filter((result) => result?.kind === 'code-sent')).toHaveLength(1);
    expect(results.filter((result) => result?.kind === 'refused' && result.code === 'too_soon')).toHaveLength(
      5,
    );
    expect(walmart.to('/api/login')).toHaveLength(1);
    expect(walmart.smsSent).toBe(1);
  });

  it('sends no code if its claim expired during the login and another ticket holds the claim', async () => {
    const one = worker('one');
    walmart.overrides.set('POST /api/login', () => {
      // Simulates a login that takes longer than the claim.
      void redis.set(`${root}:session:code-claim`, 'another', 'PX', 30_000);
      return undefined;
    });
    expect(await signInStep(one)).toMatchObject({ kind: 'refused', code: 'too_soon' });
    expect(walmart.smsSent).toBe(0);
  });

  it('reports refused credentials and does not try them again at once', async () => {
    const wrong = worker('one', { WALMART_EDR_PASSWORD: 'wrong' });
    expect(await signInStep(wrong)).toMatchObject({ kind: 'refused', code: 'credentials_refused' });
    expect(await signInStep(wrong)).toMatchObject({ kind: 'refused', code: 'too_soon' });
    expect(walmart.to('/api/login')).toHaveLength(1);
    expect(walmart.smsSent).toBe(0);
  });

  it('reports that no code was sent', async () => {
    const wrong = worker('one', { WALMART_EDR_MFA_CREDENTIAL_ID: 'other' });
    expect(await signInStep(wrong)).toMatchObject({ kind: 'refused', code: 'send_code_refused' });
    expect(await signInStep(wrong, '123456')).toMatchObject({ kind: 'refused', code: 'no_pending_code' });
  });

  it('lets a mistyped code be entered again', async () => {
    const one = worker('one');
    await signInStep(one);
    expect(await signInStep(one, '654321')).toMatchObject({ kind: 'refused', code: 'code_refused' });
    expect(await signInStep(one, '12345')).toMatchObject({ kind: 'refused', code: 'code_malformed' });
    expect(walmart.to('/api/mfa/validateCode')).toHaveLength(1);
    expect(await signInStep(one, '123456')).toEqual({ kind: 'signed-in' });
    expect(walmart.smsSent).toBe(1);
  });

  it('reports an expired code and a missing one', async () => {
    const one = worker('one');
    expect(await signInStep(one, '123456')).toMatchObject({ kind: 'refused', code: 'no_pending_code' });
    expect(walmart.seen).toHaveLength(0);
    await signInStep(one);
    walmart.codeExpired = true;
    expect(await signInStep(one, '123456')).toMatchObject({ kind: 'refused', code: 'code_expired' });
  });

  it('never repeats a request for a code, even if its answer was lost; the code then still works', async () => {
    const one = worker('one');
    let texted = 0;
    walmart.overrides.set('POST /api/mfa/sendCode', () => {
      texted += 1;
      walmart.smsSent += 1;
      return null;
    });
    expect(await signInStep(one)).toMatchObject({ kind: 'refused', code: 'code_maybe_sent' });
    expect(texted).toBe(1);
    walmart.overrides.set('POST /api/mfa/validateCode', () => ({
      status: 200,
      headers: { 'set-cookie': '_auth=1; Path=/' },
      body: '{}',
    }));
    expect(await signInStep(one, '123456')).toEqual({ kind: 'signed-in' });
  });

  it.each<[string, string, Reply, string]>([
    ['login', 'POST /api/login', html(403, '<html>'), 'challenged'],
    ['login', 'POST /api/login', html(200, '<html>captcha'), 'challenged'],
    ['login', 'POST /api/login', { status: 500 }, 'upstream_error'],
    ['login', 'POST /api/login', { status: 429, headers: { 'retry-after': '9' } }, 'rate_limited'],
    ['login', 'POST /api/login', null, 'no_answer'],
    ['login page', 'GET /login', null, 'no_answer'],
    ['code', 'POST /api/mfa/sendCode', { status: 503 }, 'upstream_error'],
  ])('says what is wrong with the %s: %s → %j', async (_step, key, reply, code) => {
    walmart.overrides.set(key, () => reply);
    const one = worker('one');
    expect(await signInStep(one)).toMatchObject({ kind: 'refused', code });
    expect(walmart.seen.filter(({ method, path }) => `${method} ${path}` === key)).toHaveLength(1);
  });

  it('allows another try at once if no login took place', async () => {
    const one = worker('one');
    walmart.overrides.set('POST /api/login', () => ({ status: 500 }));
    await signInStep(one);
    walmart.overrides.clear();
    expect(await signInStep(one)).toEqual({ kind: 'code-sent' });
  });

  it('reads the token from the body too, and stores nothing without a token', async () => {
    const one = worker('one');
    walmart.overrides.set(`GET ${authenticate}`, () => ({ status: 200, body: '{"hello":1}' }));
    await signInStep(one);
    expect(await signInStep(one, '123456')).toMatchObject({ kind: 'refused', code: 'no_app_token' });
    expect(await redis.exists(`${root}:session`)).toBe(0);
    expect(await signInStep(one, '123456')).toMatchObject({ kind: 'refused', code: 'no_pending_code' });

    await forgetSpacing();
    walmart.token = jwt(walmart.tokenExpiresAt);
    walmart.overrides.set(`GET ${authenticate}`, () => ({
      status: 200,
      body: JSON.stringify({ token: walmart.token }),
    }));
    await signIn(one);
    expect(await getReport(one)).toMatchObject({ kind: 'done' });
  });

  it('requests the app token twice if the first request fails, because the code works only once', async () => {
    const one = worker('one');
    let asked = 0;
    walmart.overrides.set(`GET ${authenticate}`, () => {
      asked += 1;
      return asked === 1 ? { status: 502 } : undefined;
    });
    await signInStep(one);
    expect(await signInStep(one, '123456')).toEqual({ kind: 'signed-in' });
  });

  it('follows no redirect to another domain', async () => {
    const stranger = new TestWalmart();
    const { baseUrl } = await stranger.start();
    onTestFinished(() => stranger.close());
    walmart.overrides.set('GET /rl_portal/', () => ({
      status: 302,
      headers: { location: `${baseUrl}/rl_portal/` },
    }));
    await signIn(worker('one'));
    expect(stranger.seen).toHaveLength(0);
  });
});

describe('run', () => {
  it('sends nothing without a session, and sets a sign-in hold', async () => {
    const one = worker('one');
    for (let call = 0; call < 3; call += 1) {
      expect(await getReport(one)).toEqual({
        kind: 'snooze',
        health: 'unknown',
        code: 'sign_in_required',
        message: reason,
        hold: { kind: 'sign-in', reason },
      });
    }
    expect(walmart.seen).toHaveLength(0);
  });

  it('fetches a report with bearer token, cookies and referer', async () => {
    const one = worker('one');
    await signIn(one);
    expect(await getReport(one)).toMatchObject({
      kind: 'done',
      health: 'up',
      status: 200,
      result: { demoId: '123456', demoName: 'Crackers tasting', items: [{ itemNbr: '123456789' }] },
    });
    const [seen] = walmart.seen;
    expect(seen?.query).toBe('?id=123456');
    expect(seen?.headers).toMatchObject({
      authorization: `Bearer ${walmart.token}`,
      referer: `${urls.baseUrl}/EventManagement/browse-event`,
      cookie: expect.stringContaining('_auth=1'),
    });
    expect(seen?.headers.origin).toBeUndefined();
  });

  it('browses by POST with Origin and JSON', async () => {
    const one = worker('one');
    await signIn(one);
    const input = { startDate: '2026-01-01', endDate: '2026-01-31', storeNumber: '8135', eventTypes: [45] };
    expect(await one.client.run('browse-events', input, context())).toMatchObject({
      kind: 'done',
      result: { rows: [] },
    });
    const [seen] = walmart.seen;
    expect(seen?.headers.origin).toBe(new URL(urls.baseUrl).origin);
    expect(seen?.headers['content-type']).toContain('application/json');
    expect(JSON.parse(seen?.body ?? '')).toMatchObject({ storeNbr: '8135', eventType: [45], itemNbr: null });
  });

  it('saves the cookies that every answer rotates, for all workers', async () => {
    const [one, two] = [worker('one'), worker('two')];
    await signIn(one);
    await getReport(one);
    await getReport(one);
    const rotated = walmart.seen[1]?.headers.cookie ?? '';
    expect(rotated).toMatch(/PA=2/);
    await getReport(two);
    expect(walmart.seen[2]?.headers.cookie).toMatch(/PA=3.*TS=3|TS=3.*PA=3/);
  });

  it('writes nothing if an answer changes no cookie', async () => {
    const one = worker('one');
    await signIn(one);
    walmart.overrides.set(`GET ${report}`, () => ({ status: 200, body: '{}' }));
    expect(await getReport(one)).toMatchObject({ kind: 'reject', code: 'not_found' });
    expect(await redis.hget(`${root}:session`, 'revision')).toBe('1');
  });

  it('keeps the cookies of parallel answers', async () => {
    const one = worker('one');
    await signIn(one);
    let count = 0;
    walmart.overrides.set(`GET ${report}`, () => {
      count += 1;
      return { status: 200, headers: { 'set-cookie': `own${count}=1; Path=/` }, body: '{}' };
    });
    await Promise.all([getReport(one), getReport(one), getReport(one)]);
    walmart.seen.length = 0;
    await getReport(worker('two'));
    expect(walmart.seen[0]?.headers.cookie).toMatch(/(?=.*own1)(?=.*own2)(?=.*own3)/);
  });

  it.each<[string, () => Reply]>([
    ['401', () => ({ status: 401, body: '{}' })],
    ['403', () => ({ status: 403, body: '{}' })],
    ['302', () => ({ status: 302, headers: { location: `${urls.loginBaseUrl}/start` } })],
    ['html', () => html(200, '<html><form><input type="password"></form></html>')],
  ])('ends a session that Walmart ended (%s), once for the fleet', async (_style, signedOut) => {
    const [one, two] = [worker('one'), worker('two')];
    await signIn(one);
    await getReport(two);
    walmart.seen.length = 0;
    walmart.token = null;
    walmart.cookiesAlive = false;
    walmart.signedOut = signedOut();
    const hold = {
      kind: 'snooze',
      health: 'unknown',
      code: 'sign_in_required',
      hold: { kind: 'sign-in', reason },
    };
    expect(await getReport(one)).toMatchObject(hold);
    expect(await redis.exists(`${root}:session`)).toBe(0);
    expect(walmart.to(authenticate)).toHaveLength(1);
    walmart.seen.length = 0;
    expect(await getReport(one)).toMatchObject(hold);
    expect(walmart.seen).toHaveLength(0);
    expect(await getReport(two)).toMatchObject(hold);
    expect(walmart.to(authenticate)).toHaveLength(0);
    expect(walmart.to('/api/login')).toHaveLength(0);

    walmart.cookiesAlive = true;
    await forgetSpacing();
    await signIn(two);
    expect(await getReport(one)).toMatchObject({ kind: 'done' });
  });

  it('uses a newer session of another worker within one attempt', async () => {
    const [one, two] = [worker('one'), worker('two')];
    await signIn(one);
    await getReport(two);
    await forgetSpacing();
    await signIn(one);
    expect(await getReport(two)).toMatchObject({ kind: 'done' });
    expect(walmart.seen.map(({ path }) => path)).toEqual([report, report]);
  });

  it('renews the token once for the whole fleet while the cookies are valid', async () => {
    const workers = [worker('one'), worker('two'), worker('three')];
    await signIn(workers[0] as (typeof workers)[0]);
    await Promise.all(workers.map((by) => getReport(by)));
    walmart.seen.length = 0;
    walmart.token = null;
    const outcomes = await Promise.all([...workers, ...workers].map((by) => getReport(by)));
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(6).fill('done'));
    expect(walmart.to(authenticate)).toHaveLength(1);
    expect(walmart.smsSent).toBe(1);
  });

  it('needs no text message if the worker that renews the token dies', async () => {
    await signIn(worker('one'));
    walmart.token = null;
    // A leader that dies between its claim and its answer.
    const dying = new SessionStore({ redis, root, sealer, worker: 'dying', pollMs: 5, leaseMs: 200 });
    const claimed = Promise.withResolvers<void>();
    void dying.renew(await dying.load(), 'fingerprint', () => {
      claimed.resolve();
      return new Promise(() => {});
    });
    await claimed.promise;
    expect(await getReport(worker('heir'))).toMatchObject({ kind: 'done' });
    expect(walmart.to(authenticate)).toHaveLength(1);
    expect(walmart.smsSent).toBe(1);
  });

  it('names the session of a sign-in hold and the current session', async () => {
    const one = worker('one');
    expect(await one.client.currentSession?.()).toBeNull();
    await signIn(one);
    const id = await one.client.currentSession?.();
    expect(id).toEqual(expect.any(String));
    walmart.token = null;
    walmart.cookiesAlive = false;
    expect(await getReport(one)).toMatchObject({ kind: 'snooze', hold: { kind: 'sign-in', session: id } });
    expect(await one.client.currentSession?.()).toBeNull();
    walmart.cookiesAlive = true;
    await forgetSpacing();
    await signIn(one);
    expect(await one.client.currentSession?.()).not.toBe(id);
  });

  it('does not send an expired token', async () => {
    const one = worker('one');
    await signIn(one);
    const session = await one.sessions.refresh();
    await one.sessions.store({ ...(session?.data as object), expiresAt: Date.now() - 1 });
    expect(await getReport(one)).toMatchObject({ kind: 'done' });
    expect(walmart.seen.map(({ path }) => path)).toEqual([authenticate, report]);
  });

  it('keeps the session if a renewal fails because of the upstream', async () => {
    const one = worker('one');
    await signIn(one);
    walmart.token = null;
    walmart.overrides.set(`GET ${authenticate}`, () => ({ status: 503 }));
    expect(await getReport(one)).toMatchObject({ kind: 'retry', health: 'down', code: 'upstream_error' });
    walmart.overrides.set(`GET ${authenticate}`, () => null);
    expect(await getReport(one)).toMatchObject({ kind: 'retry', health: 'down', code: 'connection_lost' });
    walmart.overrides.set(`GET ${authenticate}`, () => html(403, '<html>Forbidden</html>'));
    expect(await getReport(one)).toMatchObject({ kind: 'retry', health: 'down', code: 'not_own_answer' });
    walmart.overrides.clear();
    expect(await getReport(one)).toMatchObject({ kind: 'done' });
    expect(walmart.smsSent).toBe(1);
  });

  it('rejects a single forbidden request, and keeps the session', async () => {
    const one = worker('one');
    await signIn(one);
    walmart.overrides.set(`GET ${report}`, ({ query }) =>
      query === '?id=666666' ? { status: 403, body: '{}' } : undefined,
    );
    expect(await getReport(one, '666666')).toMatchObject({ kind: 'reject', health: 'up', code: 'forbidden' });
    expect(await getReport(one)).toMatchObject({ kind: 'done' });
  });

  it('stops at a page of the bot defence: sends no other request and sets a sign-in hold', async () => {
    const one = worker('one');
    await signIn(one);
    walmart.overrides.set(`GET ${report}`, () => html(403, '<html>Robot or human?</html>'));
    const outcome = await getReport(one);
    expect(outcome).toMatchObject({
      kind: 'snooze',
      health: 'unknown',
      code: 'sign_in_challenged',
      status: 403,
    });
    expect(outcome).toMatchObject({
      hold: { kind: 'sign-in', reason: expect.stringContaining('challenged') },
    });
    expect(walmart.seen).toHaveLength(1);
    walmart.overrides.clear();
    expect(await getReport(one)).toMatchObject({ kind: 'snooze' });
    expect(walmart.seen).toHaveLength(1);
  });

  it.each([403, 404, 405, 200])(
    'treats a page with %i as an outage and keeps the session',
    async (status) => {
      const one = worker('one');
      await signIn(one);
      walmart.overrides.set(`GET ${report}`, () => html(status, '<html><h1>nginx</h1></html>'));
      expect(await getReport(one)).toMatchObject({ kind: 'retry', health: 'down', status });
      walmart.overrides.clear();
      expect(await getReport(one)).toMatchObject({ kind: 'done' });
      expect(walmart.smsSent).toBe(1);
    },
  );

  it('ends in time, and distinguishes a timeout from an abort', async () => {
    const one = worker('one');
    await signIn(one);
    const stop = new AbortController();
    walmart.overrides.set(`GET ${report}`, () => {
      stop.abort();
      return undefined;
    });
    const signal = stop.signal;
    expect(await one.client.run('get-report', { eventId: '123456' }, { ...context(), signal })).toMatchObject(
      {
        kind: 'retry',
        health: 'unknown',
        code: 'aborted',
      },
    );
  });

  it('is down if the connection is refused', async () => {
    const one = worker('one');
    await signIn(one);
    await walmart.close();
    expect(await getReport(one)).toMatchObject({
      kind: 'retry',
      health: 'down',
      // A closed idle connection may show only when it is used.
      code: expect.stringMatching(/^(unreachable|connection_lost)$/),
    });
    await walmart.start();
  });

  it('rejects an unknown operation or an invalid input, and cannot verify', async () => {
    const { client } = worker('one');
    expect(await client.run('get-report', { eventId: 'x' }, context())).toMatchObject({
      kind: 'reject',
      code: 'invalid_input',
    });
    expect(await client.run('other', {}, context())).toMatchObject({ kind: 'reject', code: 'invalid_input' });
    expect(client.canVerify('get-report')).toBe(false);
    expect(await client.verify('get-report', {}, context())).toMatchObject({ kind: 'unreadable' });
    expect(client.probe).toBeUndefined();
  });
});
