import { describe, expect, inject, test } from 'vitest';
import { postJson, postLogin, startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';

const redisUrl = inject('redisUrl');
const hold = { action: 'hold', reason: 'they asked us to' };

const actionsUrl = (admin: TestAdmin) => `${admin.url}/api/upstreams/crossmark/actions`;

describe('roles', () => {
  test('a viewer can read but not act', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    expect((await fetch(`${admin.url}/api/upstreams`, { headers: { cookie } })).status).toBe(200);
    const refused = await postJson(actionsUrl(admin), cookie, hold);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({
      code: 'forbidden',
      detail: expect.stringContaining('operator'),
    });
    const code = await postJson(`${admin.url}/api/sign-in/walmart-edr/send-code`, cookie, {});
    expect(code.status).toBe(403);
    const keys = await admin.redis.keys(`${admin.prefix}:{*`);
    expect(keys.filter((key) => !key.endsWith(':meta'))).toEqual([]);
  });

  test('only an admin can close fully', async () => {
    await using admin = await startAdmin(redisUrl);
    const body = { action: 'close-full', reason: 'it is up, I saw it' };
    expect((await postJson(actionsUrl(admin), await admin.login('operator'), body)).status).toBe(403);
    expect((await postJson(actionsUrl(admin), await admin.login('admin'), body)).status).toBe(200);
  });
});

describe('cross-origin requests', () => {
  test.each([
    ['Sec-Fetch-Site: cross-site', { 'sec-fetch-site': 'cross-site' }],
    ['Sec-Fetch-Site: same-site, another subdomain', { 'sec-fetch-site': 'same-site' }],
    ['another Origin', { origin: 'https://evil.example' }],
    ['an opaque Origin', { origin: 'null' }],
  ])('are refused: %s', async (_title, headers) => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const refused = await postJson(actionsUrl(admin), cookie, hold, headers);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ code: 'cross_origin' });
    expect(await admin.upstreams[0]?.holds.list()).toEqual([]);
  });

  test('cannot log in, log out or use the board', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const headers = { cookie, 'sec-fetch-site': 'cross-site' };
    const body = new URLSearchParams({ username: 'admin', password: 'admin-admin' });
    expect((await fetch(`${admin.url}/login`, { method: 'POST', headers, body })).status).toBe(403);
    expect((await fetch(`${admin.url}/logout`, { method: 'POST', headers })).status).toBe(403);
    const paused = await fetch(`${admin.url}/queues/api/queues/crossmark/pause`, { method: 'PUT', headers });
    expect(paused.status).toBe(403);
  });

  test('requests from pages of this site and from scripts pass', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    for (const headers of [{ 'sec-fetch-site': 'same-origin' }, { origin: admin.url }, {}]) {
      expect(
        (await postJson(actionsUrl(admin), cookie, hold, headers as Record<string, string>)).status,
      ).toBe(200);
    }
  });
});

describe('bodies', () => {
  test('other content types get 415, invalid JSON 400, large bodies 413', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const send = async (type: string, body: string) => {
      const headers = { cookie, 'content-type': type };
      const answer = await fetch(actionsUrl(admin), { method: 'POST', headers, body });
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
      return answer.status;
    };
    expect(await send('application/x-www-form-urlencoded', 'action=hold&reason=x')).toBe(415);
    expect(await send('text/plain', JSON.stringify(hold))).toBe(415);
    expect(await send('application/json', '{"action":')).toBe(400);
    expect(await send('application/json', JSON.stringify({ ...hold, reason: 'x'.repeat(20_000) }))).toBe(413);
  });
});

describe('headers', () => {
  test('pages have no inline script and load nothing from another host', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    for (const path of ['/breakers', '/sign-in/walmart-edr', '/queues', '/login']) {
      const answer = await fetch(admin.url + path, { headers: { cookie } });
      const policy = answer.headers.get('content-security-policy') ?? '';
      expect(policy).toContain("script-src 'self';");
      expect(policy).not.toContain('http');
      expect(answer.headers.get('x-frame-options')).toBe('DENY');
      const page = await answer.text();
      expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
      expect(page).not.toMatch(/<script(?![^>]*(src=|type="application\/json"))/);
    }
  });

  test('an unknown path returns 404, as a page and as a problem', async () => {
    await using admin = await startAdmin(redisUrl);
    const page = await fetch(`${admin.url}/nothing`, { headers: { accept: 'text/html' } });
    expect([page.status, page.headers.get('content-type')]).toEqual([404, 'text/html; charset=utf-8']);
    const api = await fetch(`${admin.url}/api/nothing`);
    expect([api.status, api.headers.get('content-type')]).toEqual([
      404,
      'application/problem+json; charset=utf-8',
    ]);
  });

  test('text that a person typed is escaped', async () => {
    await using admin = await startAdmin(redisUrl);
    const answer = await fetch(
      `${admin.url}/login?next=${encodeURIComponent('/"><script>alert(1)</script>')}`,
    );
    expect(await answer.text()).not.toContain('<script>alert');
    expect((await postLogin(admin.url, '<b>x</b>', 'y')).status).toBe(401);
  });
});
