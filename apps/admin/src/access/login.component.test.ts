import { describe, expect, inject, test } from 'vitest';
import { cookieOf, postJson, postLogin, startAdmin } from '../../test-kit/start-admin.ts';
import { loginLimits } from './login.ts';

const redisUrl = inject('redisUrl');

describe('login', () => {
  test('the right password redirects to /breakers and sets a strict, HttpOnly cookie', async () => {
    await using admin = await startAdmin(redisUrl);
    const answer = await postLogin(admin.url, 'admin', 'admin-admin');
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toBe('/breakers');
    expect(answer.headers.getSetCookie()[0]).toMatch(/HttpOnly; SameSite=Strict/);
    expect(answer.headers.getSetCookie()[0]).not.toMatch(/Secure/);
    const page = await fetch(`${admin.url}/breakers`, { headers: { cookie: cookieOf(answer) ?? '' } });
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('admin <small>admin</small>');
  });

  test('behind https the cookie is Secure', async () => {
    await using admin = await startAdmin(redisUrl);
    const answer = await fetch(`${admin.url}/login`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'x-forwarded-proto': 'https' },
      body: new URLSearchParams({ username: 'admin', password: 'admin-admin' }),
    });
    expect(answer.headers.getSetCookie()[0]).toMatch(/Secure/);
  });

  test('a script logs in with JSON and gets the same cookie', async () => {
    await using admin = await startAdmin(redisUrl);
    const answer = await postJson(`${admin.url}/login`, '', {
      username: 'viewer',
      password: 'viewer-viewer',
    });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ name: 'viewer', role: 'viewer' });
    expect(cookieOf(answer)).not.toBeNull();
  });

  test('wrong passwords and unknown users get the same answer, and no session', async () => {
    await using admin = await startAdmin(redisUrl);
    const wrong = await postLogin(admin.url, 'admin', 'guess');
    const unknown = await postLogin(admin.url, 'nobody', 'guess');
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(await wrong.text()).toBe(await unknown.text());
    expect(cookieOf(wrong)).toBeNull();
  });

  test('too many failures block the user, even with the right password, but no other user', async () => {
    await using admin = await startAdmin(redisUrl);
    const failures = Array.from({ length: loginLimits.perUser }, () =>
      postLogin(admin.url, 'admin', 'guess'),
    );
    expect(new Set((await Promise.all(failures)).map(({ status }) => status))).toEqual(new Set([401]));
    const blocked = await postLogin(admin.url, 'admin', 'admin-admin');
    expect(blocked.status).toBe(429);
    expect(Number(blocked.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await postLogin(admin.url, 'viewer', 'viewer-viewer')).status).toBe(303);
  });

  test('successful logins are not counted', async () => {
    await using admin = await startAdmin(redisUrl);
    const answers: number[] = [];
    for (let i = 0; i <= loginLimits.perUser; i += 1)
      answers.push((await postLogin(admin.url, 'viewer', 'viewer-viewer')).status);
    expect(new Set(answers)).toEqual(new Set([303]));
  });

  test('redirects after the login only to a path of this site', async () => {
    await using admin = await startAdmin(redisUrl);
    const goes = async (next: string) => {
      const body = new URLSearchParams({ username: 'admin', password: 'admin-admin', next });
      const answer = await fetch(`${admin.url}/login`, { method: 'POST', redirect: 'manual', body });
      return answer.headers.get('location');
    };
    expect(await goes('/queues/queue/crossmark?status=failed')).toBe('/queues/queue/crossmark?status=failed');
    expect(await goes('//evil.example')).toBe('/breakers');
    expect(await goes('/\\evil.example')).toBe('/breakers');
    expect(await goes('https://evil.example')).toBe('/breakers');
  });

  test('a login creates a new session id, and a logout ends the session', async () => {
    await using admin = await startAdmin(redisUrl);
    const first = await admin.login('admin');
    const second = await admin.login('admin');
    expect(second).not.toBe(first);
    const answer = await fetch(`${admin.url}/logout`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: first },
    });
    expect(answer.headers.get('location')).toBe('/login');
    const status = (cookie: string) =>
      fetch(`${admin.url}/api/upstreams`, { headers: { cookie } }).then((reply) => reply.status);
    expect([await status(first), await status(second)]).toEqual([401, 200]);
  });

  test('sessions are stored in Redis, expire when idle, and contain no role', async () => {
    await using admin = await startAdmin(redisUrl);
    await admin.login('admin');
    const keys = await admin.redis.keys(`${admin.prefix}:admin-session:*`);
    expect(keys).toHaveLength(1);
    expect(await admin.redis.pttl(keys[0] ?? '')).toBeGreaterThan(7.9 * 3_600_000);
    const session = JSON.parse((await admin.redis.get(keys[0] ?? '')) ?? '{}');
    expect(Object.keys(session.account)).toEqual(['name', 'stamp']);
  });

  test('without a session, pages redirect to the login and the API returns 401', async () => {
    await using admin = await startAdmin(redisUrl);
    for (const path of ['/', '/breakers', '/sign-in/walmart-edr', '/queues', '/queues/queue/crossmark']) {
      const answer = await fetch(admin.url + path, { redirect: 'manual' });
      expect([path, answer.status, answer.headers.get('location')]).toEqual([
        path,
        303,
        `/login?next=${encodeURIComponent(path)}`,
      ]);
    }
    for (const path of ['/api/upstreams', '/api/upstreams/stream', '/queues/api/queues']) {
      const answer = await fetch(admin.url + path, { redirect: 'manual' });
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
    }
    expect(
      (await fetch(`${admin.url}/queues/static/locales/en-US/messages.json`, { redirect: 'manual' })).status,
    ).toBe(303);
  });

  test('health and metrics need no login', async () => {
    await using admin = await startAdmin(redisUrl);
    for (const path of ['/health/live', '/health/ready', '/metrics']) {
      expect([path, (await fetch(admin.url + path)).status]).toEqual([path, 200]);
    }
  });
});
