import { enqueueCall } from '@recloser/calls/write/enqueue';
import { createLogger } from '@recloser/runtime/observe/logger';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { UnrecoverableError, Worker } from 'bullmq';
import { describe, expect, inject, test } from 'vitest';
import { postJson, startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';
import { RetryRunner } from './retry-runner.ts';

const redisUrl = inject('redisUrl');
const log = createLogger({ name: 'test', level: 'silent' });

function crossmark(admin: TestAdmin) {
  const found = admin.upstreams.find(({ definition }) => definition.name === 'crossmark');
  if (found === undefined) throw new Error('no crossmark');
  return found;
}

/** Stores one failed call for each verdict. */
async function failedCalls(admin: TestAdmin, settled: readonly { status: string; code: string }[]) {
  const { queue, definition } = crossmark(admin);
  const operation = definition.operations['list-planning'];
  if (operation === undefined) throw new Error('no such operation');
  await admin.redis.ping();
  const ids: string[] = [];
  for (const [index, verdict] of settled.entries()) {
    const stored = await enqueueCall({
      redis: admin.redis,
      queue,
      prefix: admin.prefix,
      upstream: 'crossmark',
      operation,
      input: { startDate: `2026-02-${10 + index}`, endDate: '2026-03-30' },
      options: { ifOpen: 'defer', priority: 0 } as never,
      sealer: createSealer(admin.sessionKey),
      requestId: 'r-1',
    });
    if (stored.kind !== 'stored') throw new Error(stored.kind);
    const job = await queue.getJob(stored.id);
    await job?.updateData({ ...job.data, settled: { message: 'no', ...verdict } });
    ids.push(stored.id);
  }
  const connection = connectRedis(redisUrl, { role: 'worker', name: 'test', log });
  const fail = () => Promise.reject(new UnrecoverableError('no'));
  const worker = new Worker(queue.name, fail, { connection, prefix: queue.opts.prefix ?? '' });
  await expect.poll(() => queue.getFailedCount()).toBe(ids.length);
  await worker.close();
  connection.disconnect();
  return ids;
}

const failed = { status: 'failed', code: 'http_500' };
const url = (admin: TestAdmin, path = '') => `${admin.url}/api/upstreams/crossmark/retries${path}`;
const runOf = (admin: TestAdmin) => admin.redis.hgetall(`${crossmark(admin).root}:retry-run`);

describe('retrying in batches', () => {
  test('counts by filter, without calls in doubt and cancelled calls', async () => {
    await using admin = await startAdmin(redisUrl);
    await failedCalls(admin, [
      failed,
      failed,
      { status: 'failed', code: 'timeout' },
      { status: 'in_doubt', code: 'timeout' },
      { status: 'cancelled', code: 'cancelled' },
      { status: 'expired', code: 'expired' },
    ]);
    const cookie = await admin.login('operator');
    const counted = async (filter: unknown) =>
      (await postJson(url(admin, '/count'), cookie, { filter })).json();
    expect(await counted({})).toMatchObject({
      count: 3,
      byCode: { http_500: 2, timeout: 1 },
      isComplete: true,
    });
    expect(await counted({ code: 'timeout' })).toMatchObject({ count: 1 });
    expect(await counted({ operation: 'get-report' })).toMatchObject({ count: 0 });
    expect(await counted({ status: 'expired' })).toMatchObject({ count: 1 });
    expect(await counted({ endedBefore: '2020-01-01T00:00:00Z' })).toMatchObject({ count: 0 });
  });

  test('retries at the given rate, pauses while a hold is active, and continues automatically', async () => {
    await using admin = await startAdmin(redisUrl);
    const { holds, queue } = crossmark(admin);
    await failedCalls(admin, [failed, failed, failed]);
    await holds.set({ kind: 'operator', owner: 'ann', reason: 'look' });
    const cookie = await admin.login('operator');
    const started = await postJson(url(admin), cookie, { perMinute: 6_000, reason: 'it works again' });
    expect(started.status).toBe(202);
    await expect
      .poll(() => runOf(admin))
      .toMatchObject({ state: 'waiting', note: expect.stringContaining('operator') });
    expect(await queue.getFailedCount()).toBe(3);
    const second = await postJson(url(admin), cookie, { perMinute: 60, reason: 'again' });
    expect([second.status, await second.json()]).toEqual([
      409,
      expect.objectContaining({ code: 'conflict' }),
    ]);
    await holds.release('operator', { owner: 'ann', reason: 'looked' });
    await expect.poll(() => runOf(admin)).toMatchObject({ state: 'finished' });
    expect(await runOf(admin)).toMatchObject({ total: '3', done: '3', by: 'operator' });
    expect(await queue.getFailedCount()).toBe(0);
    const audit = JSON.stringify(await admin.redis.xrange(`${admin.prefix}:audit`, '-', '+'));
    expect(audit).toContain('it works again (3 calls: failed; 6000 per minute)');
  });

  test('stops on request; the other calls stay failed', async () => {
    await using admin = await startAdmin(redisUrl);
    await failedCalls(admin, [failed, failed, failed]);
    const cookie = await admin.login('operator');
    await postJson(url(admin), cookie, { perMinute: 1, reason: 'slowly' });
    await expect.poll(() => runOf(admin)).toMatchObject({ done: '1' });
    const stopped = await postJson(url(admin, '/stop'), cookie, { reason: 'enough' });
    expect(await stopped.json()).toMatchObject({
      state: 'stopped',
      note: 'stopped by operator: enough',
      done: 1,
    });
    expect(await crossmark(admin).queue.getFailedCount()).toBe(2);
    expect((await postJson(url(admin, '/stop'), cookie, { reason: 'enough' })).status).toBe(409);
  });

  test('two admin processes retry each call once', async () => {
    await using admin = await startAdmin(redisUrl);
    const other = new RetryRunner({ redis: admin.redis, upstreams: admin.upstreams, log, lookMs: 20 });
    other.start();
    const ids = await failedCalls(
      admin,
      Array.from({ length: 12 }, () => failed),
    );
    await postJson(url(admin), await admin.login('operator'), { perMinute: 6_000, reason: 'all' });
    await expect.poll(() => runOf(admin)).toMatchObject({ state: 'finished' });
    await other.stop();
    expect(await runOf(admin)).toMatchObject({ done: String(ids.length) });
  });

  test('requires a reason and a rate, and refuses a filter without matches', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    for (const body of [
      { perMinute: 60 },
      { reason: 'x' },
      { reason: 'x', perMinute: 0 },
      { reason: 'x', perMinute: 60, all: true },
    ]) {
      expect((await postJson(url(admin), cookie, body)).status).toBe(422);
    }
    const nothing = await postJson(url(admin), cookie, { reason: 'x', perMinute: 60 });
    expect([nothing.status, await nothing.json()]).toEqual([
      409,
      expect.objectContaining({ detail: expect.stringContaining('No failed call matches') }),
    ]);
  });
});
