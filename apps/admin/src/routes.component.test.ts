import { describe, expect, inject, test } from 'vitest';
import { startAdmin } from '../test-kit/start-admin.ts';
import { AuditLog } from './access/audit.ts';
import { routes } from './app.ts';
import { mayAct, roles } from './user/accounts.ts';

const redisUrl = inject('redisUrl');

/** Replaces path parameters with valid values. */
const filled = (path: string) =>
  path.replace(':name', 'walmart-edr').replace(':id', 'walmart-edr-01890000-0000-7000-8000-000000000000');

type Admin = Awaited<ReturnType<typeof startAdmin>>;

function table(admin: Admin) {
  const deps = admin.deps;
  return routes(deps, new AuditLog(deps), []);
}

function ask(admin: Admin, method: string, path: string, cookie: string): Promise<Response> {
  return fetch(`${admin.url}${filled(path)}`, {
    method: method.toUpperCase(),
    redirect: 'manual',
    headers: { cookie, accept: 'text/html', 'content-type': 'application/json' },
    // An invalid body: a missing role is refused before the body is validated.
    ...(method === 'get' ? {} : { body: '{"nonsense":true}' }),
  });
}

describe('the table of routes', () => {
  test('every route refuses weaker roles and admits the others', async () => {
    await using admin = await startAdmin(redisUrl, 50);
    for (const role of roles) {
      const cookie = await admin.login(role);
      for (const { method, path, role: needed } of table(admin)) {
        const answer = await ask(admin, method, path, cookie);
        await answer.body?.cancel();
        const isLetThrough = answer.status !== 403 && answer.status !== 401;
        expect([role, method, path, isLetThrough]).toEqual([role, method, path, mayAct(role, needed)]);
        expect(answer.status, `${method} ${path}`).not.toBe(500);
      }
    }
  });

  test('without a session, pages redirect to the login and the API returns 401', async () => {
    await using admin = await startAdmin(redisUrl);
    for (const { method, path, audience } of table(admin)) {
      const answer = await ask(admin, method, path, '');
      expect([path, answer.status]).toEqual([path, audience === 'page' ? 303 : 401]);
      if (audience === 'page') expect(answer.headers.get('location')).toMatch(/^\/login\?next=/);
    }
  });

  test('state-changing routes require the operator role, JSON and the same origin', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('admin');
    const writing = table(admin).filter(({ method }) => method !== 'get');
    expect(writing.length).toBeGreaterThanOrEqual(6);
    for (const { path, role } of writing) {
      expect([path, mayAct('viewer', role)]).toEqual([path, false]);
      const url = `${admin.url}${filled(path)}`;
      const asForm = await fetch(url, {
        method: 'POST',
        headers: { cookie },
        body: new URLSearchParams({ a: 'b' }),
      });
      expect([path, asForm.status]).toEqual([path, 415]);
      const foreigners: Record<string, string>[] = [
        { 'sec-fetch-site': 'cross-site' },
        { origin: 'http://evil.example' },
      ];
      for (const headers of foreigners) {
        const foreign = await fetch(url, {
          method: 'POST',
          headers: { cookie, 'content-type': 'application/json', ...headers },
          body: '{}',
        });
        expect([path, foreign.status]).toEqual([path, 403]);
      }
    }
  });

  test('no page allows inline scripts, other hosts, framing or caching', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    for (const { method, path, audience } of table(admin)) {
      if (audience !== 'page') continue;
      const { headers } = await ask(admin, method, path, cookie);
      const policy = headers.get('content-security-policy') ?? '';
      expect([path, /script-src ([^;]*)/.exec(policy)?.[1]]).toEqual([path, "'self'"]);
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/https?:|\*/);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
  });
});
