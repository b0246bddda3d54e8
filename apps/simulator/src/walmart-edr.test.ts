/** The simulated Retail Link over raw HTTP, compared with docs/upstreams/walmart-edr.md. */
import { expect, test } from 'vitest';
import { cookieJar, startSimulator } from '../test-kit/kit.ts';

type Jar = ReturnType<typeof cookieJar>;

const credentials = { username: 'simulator', password: 'simulator', language: 'en' };
const validation = { type: 'SMS_OTP', credid: 'test-credential', code: '123456', failureCount: 0 };

async function signIn(base: string, jar: Jar): Promise<string> {
  const login = `${base}/walmart-edr-login`;
  const main = `${base}/walmart-edr`;
  const steps = [
    () => jar.fetch(`${login}/login`),
    () => jar.json(`${login}/api/login`, credentials),
    () => jar.json(`${login}/api/mfa/sendCode`, { type: 'SMS_OTP', credid: 'test-credential' }),
    () => jar.json(`${login}/api/mfa/validateCode`, validation),
    () => jar.fetch(`${main}/rl_portal_services/api/Site/InsertRlPageDetails?pageId=6&pageSubId=w6040`),
    () => jar.fetch(`${main}/rl_portal/`),
    () => jar.fetch(`${main}/EventManagement/`),
    () => jar.fetch(`${main}/EventManagement/api/authenticate`),
  ];
  for (const step of steps) expect((await step()).status).toBe(200);
  const { token } = JSON.parse(decodeURIComponent(jar.cookies.get('auth-token') ?? '')) as { token: string };
  return token;
}

function report(base: string, jar: Jar, token: string, id: string): Promise<Response> {
  return jar.fetch(`${base}/walmart-edr/EventManagement/api/edrReport?id=${id}`, {
    headers: { Authorization: `Bearer ${token}` },
  });
}

test('the six steps give an 8 h token in a URL-encoded cookie, and a report with every field', async () => {
  await using simulator = await startSimulator();
  const jar = cookieJar();
  const token = await signIn(simulator.url, jar);
  const wrapped = JSON.parse(decodeURIComponent(jar.cookies.get('auth-token') ?? '')) as {
    expiresIn: number;
  };
  expect(wrapped.expiresIn).toBe(480);
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    number
  >;
  expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(28_800);

  const res = await report(simulator.url, jar, token, '606001');
  expect(res.headers.get('content-type')).toBe('application/json');
  const body = (await res.json()) as Record<string, unknown> & {
    itemDetails: object[];
    historyDetails: object[];
  };
  expect(body).toMatchObject({ demoId: 606001, demoLockInd: 'N', demoInstructions: null, demoComment: [] });
  expect(body.demoName).toHaveLength(100);
  expect(body.clubDetails).toHaveLength(600);
  expect(body.historyDetails.length).toBeGreaterThanOrEqual(10);
  expect(body.itemDetails[0]).toMatchObject({
    itemNbr: expect.any(Number),
    gtin: expect.any(Number),
    demoId: 606001,
  });
  expect(await (await report(simulator.url, jar, token, '606001')).json()).toEqual(body);

  expect(await (await report(simulator.url, jar, token, '606000')).json()).toMatchObject({
    itemDetails: null,
  });
  expect((await report(simulator.url, jar, token, '906001')).status).toBe(404);
  expect((await report(simulator.url, jar, token, '12')).status).toBe(400);
  const doubled = await jar.fetch(`${simulator.url}/walmart-edr/EventManagement//api/edrReport?id=606001`, {
    headers: { Authorization: `Bearer ${token}` },
  });
  expect(doubled.status).toBe(200);
  expect(await simulator.ledger('walmart-edr')).toMatchObject({ logins: 1, smsSent: 1 });
});

test('a code works once, in its own session, before it expires; wrong codes void it', async () => {
  await using simulator = await startSimulator();
  const login = `${simulator.url}/walmart-edr-login`;
  const send = (jar: Jar) =>
    jar.json(`${login}/api/mfa/sendCode`, { type: 'SMS_OTP', credid: 'test-credential' });
  const verify = async (jar: Jar, code = '123456') =>
    (await jar.json(`${login}/api/mfa/validateCode`, { ...validation, code })).status;
  const jar = cookieJar();
  expect((await send(jar)).status).toBe(401);
  await jar.json(`${login}/api/login`, credentials);
  await send(jar);
  expect(await verify(cookieJar())).toBe(401);
  expect(await verify(jar, '000000')).toBe(401);
  simulator.advance(300_000);
  expect(await verify(jar)).toBe(401);
  await send(jar);
  for (let wrong = 0; wrong < 5; wrong += 1) expect(await verify(jar, '000000')).toBe(401);
  expect(await verify(jar)).toBe(401);
  await send(jar);
  expect(await verify(jar)).toBe(200);
  expect(await verify(jar)).toBe(401);
  expect((await simulator.ledger('walmart-edr')).smsSent).toBe(3);
});

test('wrong passwords are refused and lock the account', async () => {
  await using simulator = await startSimulator();
  await simulator.settings('walmart-edr', { lockAfter: 1 });
  const url = `${simulator.url}/walmart-edr-login/api/login`;
  expect((await cookieJar().json(url, { ...credentials, password: 'wrong' })).status).toBe(401);
  expect(await (await cookieJar().json(url, credentials)).json()).toMatchObject({
    message: 'Account locked',
  });
});

test('every answer renews the cookie: a client that keeps it stays signed in up to the cap, otherwise 39 minutes', async () => {
  await using simulator = await startSimulator();
  const jar = cookieJar();
  const token = await signIn(simulator.url, jar);
  const frozen = cookieJar();
  for (const [name, value] of jar.cookies) frozen.cookies.set(name, value);
  const status = async (using: Jar) => (await report(simulator.url, using, token, '606001')).status;
  simulator.advance(30 * 60_000);
  const before = jar.cookies.get('PA.PA_Retaillink');
  expect(await status(jar)).toBe(200);
  expect(jar.cookies.get('PA.PA_Retaillink')).not.toBe(before);
  simulator.advance(15 * 60_000);
  expect(await status(frozen)).toBe(401);
  expect(await status(jar)).toBe(200);
  for (let minutes = 45; minutes < 478; minutes += 30) {
    simulator.advance(30 * 60_000);
    if (minutes + 30 < 480) expect(await status(jar)).toBe(200);
  }
  expect(await status(jar)).toBe(401);
});

test('a portal visit does not extend the cap', async () => {
  await using simulator = await startSimulator();
  const jar = cookieJar();
  await signIn(simulator.url, jar);
  const authenticate = () => jar.fetch(`${simulator.url}/walmart-edr/EventManagement/api/authenticate`);
  for (let halfHours = 1; halfHours < 16; halfHours += 1) {
    simulator.advance(30 * 60_000);
    expect((await authenticate()).status).toBe(200);
  }
  simulator.advance(30 * 60_000);
  expect((await authenticate()).status).toBe(401);
});

test('401 without a token; after expire every style, with 302 to the sign-in host', async () => {
  await using simulator = await startSimulator();
  const jar = cookieJar();
  await signIn(simulator.url, jar);
  expect((await report(simulator.url, jar, 'no.such.token', '606001')).status).toBe(401);
  for (const style of ['403', '302', 'html'] as const) {
    const token = await signIn(simulator.url, jar);
    await simulator.send('POST', simulator.control('walmart-edr', '/expire'), { style });
    const res = await report(simulator.url, jar, token, '606001');
    expect(res.status).toBe(style === 'html' ? 200 : Number(style));
    if (style === '302') expect(res.headers.get('location')).toBe(`${simulator.url}/walmart-edr-login/login`);
    if (style === 'html') expect(res.headers.get('content-type')).toContain('text/html');
  }
});

test('browse: one row per event and item, whose reports exist with the same date', async () => {
  await using simulator = await startSimulator();
  const jar = cookieJar();
  const token = await signIn(simulator.url, jar);
  const url = `${simulator.url}/walmart-edr/EventManagement/api/browse-event/browse-data`;
  const nulls = {
    itemNbr: null,
    vendorNbr: null,
    billType: null,
    userId: null,
    primItem: null,
    deptNbr: null,
  };
  const body = {
    startDate: '2025-09-01',
    endDate: '2025-09-30',
    eventType: [1, 3, 5, 45],
    storeNbr: '8135',
    ...nulls,
  };
  const headers = { Authorization: `Bearer ${token}` };
  const rows = (await (await jar.json(url, body, headers)).json()) as {
    eventId: number;
    eventDate: string;
  }[];
  expect(new Set(rows.map((row) => row.eventId)).size).toBe(90);
  expect(rows.length).toBeGreaterThan(90);
  expect(rows[0]).toMatchObject({ lockDate: 'false', claimNbr: [], eventType: expect.any(String) });
  const first = await report(simulator.url, jar, token, String(rows[0]?.eventId));
  expect(await first.json()).toMatchObject({ demoId: rows[0]?.eventId, demoDate: rows[0]?.eventDate });
  expect((await jar.json(url, { startDate: '2025-09-01' }, headers)).status).toBe(400);
});
