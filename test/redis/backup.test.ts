/**
 * Backup and restore as in docs/redis.md: the server and its disk are lost, a new server gets the backup, and writes that
 * were sent after the backup are not sent again.
 */
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '@recloser/local-stack/process/run-command';
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { redisCli, startRedisServer, testFolder } from '../support/redis/redis-server.ts';
import { expectNoneDoubled } from '../support/redis/redis-traffic.ts';
import { allEnded, postVisits, startTestStack, until } from '../support/stack.ts';

const password = 'correct horse battery';
const projectDir = new URL('../../', import.meta.url).pathname;

function afterRestore(redisUrl: string) {
  return runCommand(process.execPath, ['tools/after-restore/src/main.ts'], {
    cwd: projectDir,
    env: { PATH: process.env.PATH ?? '', REDIS_URL: redisUrl },
    timeoutMs: 60_000,
  });
}

test('a lost server is restored from a backup, and no write is done twice', async () => {
  const lost = await startRedisServer();
  const url = `redis://127.0.0.1:${lost.port}`;
  await using running = await startTestStack({
    workers: 1,
    env: { REDIS_URL: url, ADMIN_PASSWORD: password },
  });
  const { api, stack } = running;
  const admin = await AdminApi.logIn(stack.urls.admin, 'admin', password);
  const act = (action: string, more: object = {}) =>
    admin.post('/api/upstreams/crossmark/actions', { action, reason: 'a test', ...more });

  const done = await postVisits(api, 3);
  await allEnded(api, done);
  await api.faults([{ kind: 'reset', operation: 'reissue-event', times: 1 }]);
  const doubt = await api.post('crossmark/reissue-event', {
    input: { mPlanId: '30000900', locationId: '150900', repId: '101234', expirationDate: '2027-02-01' },
  });
  expect(await allEnded(api, [String(doubt.body.id)])).toEqual({ in_doubt: 1 });
  await api.faults([]);
  expect((await act('hold')).status).toBe(200);
  const waiting = await postVisits(api, 6, 100);
  const keyed = () =>
    fetch(`${stack.urls.web}/v1/calls/crossmark/schedule-event`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'kept' },
      body: JSON.stringify({ input: visitInput(200) }),
    }).then(async (response) => ((await response.json()) as { id: string }).id);
  const keyedId = await keyed();

  const folder = await testFolder();
  const backup = join(folder, 'recloser.rdb');
  await redisCli(['-p', String(lost.port), '--rdb', backup]);

  // Sent after the backup, so the restored Redis does not know it.
  expect((await act('release')).status).toBe(200);
  expect(await allEnded(api, [...waiting, keyedId])).toEqual({ succeeded: 7 });
  await expectNoneDoubled(api);
  await Promise.all(stack.workers.map((worker) => stack.kill(worker, 'SIGTERM')));
  await lost.kill();
  await rm(lost.dir, { recursive: true });

  // A server with an append-only file ignores the backup, so the file is enabled after loading.
  await copyFile(backup, join(folder, 'dump.rdb'));
  const restored = await startRedisServer({
    dir: folder,
    port: lost.port,
    args: ['--appendonly', 'no', '--dbfilename', 'dump.rdb'],
  });
  const redis = restored.connect();
  await redis.config('SET', 'appendonly', 'yes');
  await until(async () => expect(await redis.info('persistence')).toContain('aof_rewrite_in_progress:0'));
  await until(async () => expect((await api.upstream()).holds).toMatchObject([{ kind: 'operator' }]));

  const first = await afterRestore(url);
  expect([first.status, first.output]).toEqual([0, expect.stringContaining('crossmark: 7 waiting writes')]);
  const again = await afterRestore(url);
  expect(again.output).toContain('crossmark: 0 waiting writes');
  await stack.addWorker();
  const whileAlive = await afterRestore(url);
  expect([whileAlive.status, whileAlive.output]).toEqual([1, expect.stringContaining('Stop all workers')]);

  expect((await api.call(done[0] ?? '')).status).toBe('succeeded');
  expect((await api.call(String(doubt.body.id))).status).toBe('in_doubt');
  expect(await keyed()).toBe(keyedId);
  // The backup also contains the session.
  expect((await act('release')).status).toBe(200);
  expect(await allEnded(api, [...waiting, keyedId])).toEqual({ succeeded: 7 });
  await expectNoneDoubled(api);
  const next = await postVisits(api, 2, 300);
  expect(await allEnded(api, next)).toEqual({ succeeded: 2 });
});
