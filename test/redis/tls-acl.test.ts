/** TLS with a private authority and client certificates, and a user with only the permissions in docs/redis.md. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { doctor } from '../support/doctor.ts';
import { createAuthority, writeCertificates } from '../support/redis/certificates.ts';
import { startRedisServer, testFolder } from '../support/redis/redis-server.ts';
import { allEnded, postVisits, startTestStack, until } from '../support/stack.ts';

const password = 'correct horse battery';

/** The documented line that creates the user, with a password. */
async function documentedUser(): Promise<string> {
  const text = await readFile(new URL('../../docs/redis.md', import.meta.url), 'utf8');
  const line = /^user recloser .*$/m.exec(text)?.[0];
  if (!line) throw new Error('docs/redis.md has no line "user recloser …"');
  return line.replace('>PASSWORD', '>only-calls');
}

test('the whole system works over TLS as a restricted user; connections without certificate or password are refused', async () => {
  const authority = await createAuthority();
  const tls = await writeCertificates(await testFolder(), authority, await authority.server(['127.0.0.1']));
  const operatorPassword = 'of-the-operator';
  const config = [`requirepass ${operatorPassword}`, await documentedUser()];
  const redis = await startRedisServer({ tls, config, password: operatorPassword });
  const url = `rediss://recloser:only-calls@127.0.0.1:${redis.port}`;
  const files = { REDIS_CA_FILE: tls.ca, REDIS_CERT_FILE: tls.cert, REDIS_KEY_FILE: tls.key };
  await using running = await startTestStack({
    workers: 2,
    env: { REDIS_URL: url, ADMIN_PASSWORD: password, ...files },
  });
  const { api, stack } = running;
  const admin = await AdminApi.logIn(stack.urls.admin, 'admin', password);
  const act = (action: string) =>
    admin.post('/api/upstreams/crossmark/actions', { action, reason: 'a test' });
  expect(await allEnded(api, await postVisits(api, 10))).toEqual({ succeeded: 10 });
  expect((await act('hold')).status).toBe(200);
  const held = await postVisits(api, 3, 50);
  await until(async () => expect((await api.call(held[0] ?? '')).status).toBe('deferred'));
  expect((await act('release')).status).toBe(200);
  expect(await allEnded(api, held)).toEqual({ succeeded: 3 });
  await api.faults([{ kind: 'status', status: 503 }]);
  const failing = await postVisits(api, 6, 100);
  await until(async () => expect((await api.upstream()).breaker.state).toBe('open'));
  await api.faults([]);
  expect(await allEnded(api, failing)).toEqual({ succeeded: 6 });
  for (const path of ['/queues/', '/queues/api/queues', '/audit', '/incidents', '/in-doubt'])
    expect(await admin.page(path)).not.toContain('NOPERM');
  // Redis logs the commands that it refused.
  const operator = redis.connect();
  expect(await operator.call('ACL', 'LOG')).toEqual([]);
  const { findings } = await doctor({ REDIS_URL: url, ...files });
  expect(findings.filter(({ check, status }) => check === 'redis' && status !== 'ok')).toEqual([]);

  const found = async (env: Record<string, string>) =>
    (await doctor(env)).findings.find(({ check, status }) => check === 'redis' && status === 'fail');
  expect((await found({ REDIS_URL: url }))?.advice).toMatch(/REDIS_CA_FILE/);
  const wrong = url.replace('only-calls', 'wrong');
  expect((await found({ REDIS_URL: wrong, ...files }))?.advice).toMatch(/REDIS_URL/);
  const plain = url.replace('rediss', 'redis');
  expect(await found({ REDIS_URL: plain })).toBeDefined();
});
