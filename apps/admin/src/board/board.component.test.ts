import { enqueueCall } from '@recloser/calls/write/enqueue';
import { createLogger } from '@recloser/runtime/observe/logger';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { UnrecoverableError, Worker } from 'bullmq';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';
import { withoutOutsideLinks } from './board.ts';

const redisUrl = inject('redisUrl');
const log = createLogger({ name: 'test', level: 'silent' });
const secretComment = 'please call Jane Roe at home';

const board = (admin: TestAdmin, path: string, cookie: string, method = 'GET', body?: unknown) =>
  fetch(`${admin.url}/queues/api/queues${path}`, {
    method,
    headers: { cookie, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

/** Stores a call with a personal comment and metadata. Returns its id. */
async function submit(admin: TestAdmin, operation: 'reissue-event' | 'list-planning' = 'reissue-event') {
  const crossmark = upstreamOf(admin);
  const input =
    operation === 'reissue-event'
      ? {
          mPlanId: '31415926',
          locationId: '271828',
          repId: '16180',
          expirationDate: '2026-02-03',
          comments: secretComment,
        }
      : { startDate: '2026-02-01', endDate: '2026-02-02' };
  const definition = crossmark.definition.operations[operation];
  if (definition === undefined) throw new Error('no such operation');
  const stored = await enqueueCall({
    redis: admin.redis,
    queue: crossmark.queue,
    prefix: admin.prefix,
    upstream: 'crossmark',
    operation: definition,
    input,
    options: { ifOpen: 'defer', priority: 50, allowDuplicate: true, metadata: { customer: 'Mary Major' } },
    sealer: createSealer(admin.sessionKey),
    requestId: 'r-1',
  });
  if (stored.kind !== 'stored') throw new Error(stored.kind);
  return stored.id;
}

function upstreamOf(admin: TestAdmin) {
  const found = admin.upstreams.find(({ definition }) => definition.name === 'crossmark');
  if (found === undefined) throw new Error('no crossmark');
  return found;
}

/** Starts a real worker that runs every waiting call through `process`. */
function work(admin: TestAdmin, process: () => Promise<unknown>): Worker {
  const { queue } = upstreamOf(admin);
  const connection = connectRedis(redisUrl, { role: 'worker', name: 'test', log });
  const worker = new Worker(queue.name, process, { connection, prefix: queue.opts.prefix ?? '' });
  onTestFinished(async () => {
    await worker.close();
    connection.disconnect();
  });
  return worker;
}

async function finished(admin: TestAdmin, id: string): Promise<void> {
  await expect.poll(async () => (await upstreamOf(admin).queue.getJob(id))?.finishedOn).toBeDefined();
}

const everything = ['latest', 'waiting', 'failed', 'completed', 'delayed'];

describe('the board shows', () => {
  test('every upstream and no sign-in queue', async () => {
    await using admin = await startAdmin(redisUrl);
    const answer = await board(admin, '', await admin.login('viewer'));
    const { queues } = (await answer.json()) as { queues: { name: string; isPaused: boolean }[] };
    expect(queues.map(({ name }) => name)).toEqual(['crossmark', 'walmart-edr']);
  });

  test('ids and times of a call, but no comment, sealed text or metadata', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('admin');
    const id = await submit(admin);
    const job = await (await board(admin, `/crossmark/${id}`, cookie)).text();
    expect(job).toContain('31415926');
    expect(job).toContain('2026-02-03');
    expect(job).toContain('[sealed]');
    const pages = await Promise.all(
      everything.map(async (status) =>
        (await board(admin, `?activeQueue=crossmark&status=${status}&page=1`, cookie)).text(),
      ),
    );
    const logs = await (await board(admin, `/crossmark/${id}/logs`, cookie)).text();
    const flow = await (await board(admin, `/crossmark/${id}/flow`, cookie)).text();
    const stored = (await upstreamOf(admin).queue.getJob(id))?.data.input.comments.sealed;
    for (const text of [job, logs, flow, ...pages]) {
      expect(text).not.toContain(stored);
      expect(text).not.toContain('Jane');
      expect(text).not.toContain('Major');
    }
    expect(pages[0]).toContain(id);
  });

  test('results without personal fields', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    const id = await submit(admin, 'list-planning');
    const attempt = {
      at: 'now',
      durationMs: 3,
      outcome: 'done',
      status: 200,
      code: null,
      message: null,
      worker: 'w',
    };
    work(admin, async () => ({
      result: { items: [{ mPlanId: '7', staffedReps: 'Jane Roe' }], total: 1 },
      attempt,
    }));
    await finished(admin, id);
    const text = await (await board(admin, `/crossmark/${id}`, cookie)).text();
    expect(text).toContain('"mPlanId":"7"');
    expect(text).not.toContain('Jane');
  });
});

describe('the description of a held queue', () => {
  test('counts waiting calls including due retries', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    const { holds, queue } = upstreamOf(admin);
    await submit(admin);
    await submit(admin);
    await holds.set({ kind: 'operator', owner: 'ann', reason: 'look' });
    await queue.add('x', {}, { delay: 1 });
    const said = async () => {
      const { queues } = (await (await board(admin, '', cookie)).json()) as {
        queues: { name: string; description?: string }[];
      };
      return queues.find(({ name }) => name === 'crossmark')?.description;
    };
    await expect.poll(said).toBe('Held by operator: 3 calls, including 1 due retry counted as delayed.');
  });
});

describe('changes through the board', () => {
  test('pause sets the operator hold with the user as owner, resume releases only that', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const { holds, queue, breaker } = upstreamOf(admin);
    expect((await board(admin, '/crossmark/pause', cookie, 'PUT', {})).status).toBe(200);
    expect(await holds.list()).toMatchObject([
      { kind: 'operator', owner: 'operator', reason: 'paused in Bull Board' },
    ]);
    expect(await queue.isPaused()).toBe(true);
    await breaker.forceOpen('test', 'test', Date.now() + 60_000);
    expect((await board(admin, '/resume', cookie, 'PUT')).status).toBe(200);
    expect((await holds.list()).map(({ kind }) => kind)).toEqual(['breaker']);
    expect(await queue.isPaused()).toBe(true);
    const refused = await board(admin, '/crossmark/resume', cookie, 'PUT', {});
    expect(refused.status).toBe(409);
    expect(await refused.json()).toMatchObject({ message: expect.stringContaining('held by breaker') });
    expect(await queue.isPaused()).toBe(true);
  });

  test('a viewer gets a read-only board', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    for (const path of [
      '/pause',
      '/crossmark/pause',
      '/crossmark/x/retry',
      '/crossmark/x/promote',
      '/crossmark/empty',
    ]) {
      const answer = await board(admin, path, cookie, 'PUT');
      expect([path, answer.status]).toEqual([path, 403]);
    }
    expect(await upstreamOf(admin).holds.list()).toEqual([]);
    const shown = async (as: string) => {
      const { queues } = (await (await board(admin, '', as)).json()) as {
        queues: { readOnlyMode: boolean }[];
      };
      return queues.map(({ readOnlyMode }) => readOnlyMode);
    };
    expect(await shown(cookie)).toEqual([true, true]);
    expect(await shown(await admin.login('operator'))).toEqual([false, false]);
  });

  test('nobody can add, edit or remove calls', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('admin');
    const id = await submit(admin);
    const before = (await upstreamOf(admin).queue.getJob(id))?.data;
    const refused = [
      ['POST', '/crossmark/add', { name: 'x', data: {}, options: {} }],
      ['PATCH', `/crossmark/${id}/update-data`, { jobData: {} }],
      ['PUT', `/crossmark/${id}/clean`],
      ['PUT', '/crossmark/clean/failed'],
      ['PUT', '/crossmark/empty'],
      ['PUT', '/crossmark/obliterate', { force: true }],
      ['PUT', '/crossmark/retry/completed'],
      ['PUT', '/crossmark/concurrency', { concurrency: 1 }],
    ] as const;
    for (const [method, path, body] of refused) {
      const answer = await board(admin, path, cookie, method, body);
      expect([path, answer.status]).toEqual([path, 403]);
      expect(await answer.json()).toMatchObject({
        error: 'Not allowed',
        message: expect.stringContaining('must not be lost'),
      });
    }
    expect((await upstreamOf(admin).queue.getJob(id))?.data).toEqual(before);
  });

  test('a retried call gets all its attempts, and the retry is recorded', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const id = await failedCall(admin, { status: 'failed', code: 'http_500', message: 'no' });
    expect((await board(admin, `/crossmark/${id}/retry`, cookie, 'PUT')).status).toBe(204);
    const job = await upstreamOf(admin).queue.getJob(id);
    expect(await job?.getState()).not.toBe('failed');
    expect(job?.attemptsMade).toBe(0);
    const audit = JSON.stringify(await admin.redis.xrange(`${admin.prefix}:audit`, '-', '+'));
    expect(audit).toContain(`crossmark/${id}`);
  });

  test('a call in doubt is not retried, because it may have been done', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('admin');
    const id = await failedCall(admin, { status: 'in_doubt', code: 'timeout', message: 'no answer' });
    const answer = await board(admin, `/crossmark/${id}/retry`, cookie, 'PUT');
    expect(answer.status).toBe(409);
    expect(await answer.json()).toMatchObject({ message: expect.stringContaining('may have been done') });
    expect((await board(admin, '/crossmark/retry/failed', cookie, 'PUT')).status).toBe(200);
    expect(await (await upstreamOf(admin).queue.getJob(id))?.getState()).toBe('failed');
  });

  test('an expired call is retried with its limit lifted, alone and with all others', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const expired = { status: 'expired', code: 'expired', message: 'too late' };
    const ids = [await failedCall(admin, expired), await failedCall(admin, expired)] as const;
    const { queue } = upstreamOf(admin);
    for (const id of ids) {
      const job = await queue.getJob(id);
      await job?.updateData({
        ...job.data,
        options: { ...job.data.options, expiresAt: '2020-01-01T00:00:00Z' },
      });
    }
    expect((await board(admin, `/crossmark/${ids[0]}/retry`, cookie, 'PUT')).status).toBe(204);
    expect((await board(admin, '/crossmark/retry/failed', cookie, 'PUT')).status).toBe(200);
    for (const id of ids) {
      const job = await queue.getJob(id);
      expect(await job?.getState()).toBe('prioritized');
      expect(job?.data.options).not.toHaveProperty('expiresAt');
      expect(job?.attemptsMade).toBe(0);
    }
  });

  test('a cancelled call is retried when it is meant itself, not with all others', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('operator');
    const id = await failedCall(admin, { status: 'cancelled', code: 'cancelled', message: 'by app' });
    const { queue } = upstreamOf(admin);
    expect((await board(admin, '/crossmark/retry/failed', cookie, 'PUT')).status).toBe(200);
    expect(await (await queue.getJob(id))?.getState()).toBe('failed');
    expect((await board(admin, `/crossmark/${id}/retry`, cookie, 'PUT')).status).toBe(204);
    expect(await (await queue.getJob(id))?.getState()).toBe('prioritized');
  });

  test('a succeeded call is not retried', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('admin');
    const id = await submit(admin, 'list-planning');
    await admin.redis.hset(upstreamOf(admin).queue.toKey(id), 'failedReason', 'an earlier attempt');
    work(admin, async () => ({ result: {}, attempt: {} }));
    await finished(admin, id);
    expect((await board(admin, `/crossmark/${id}/retry`, cookie, 'PUT')).status).toBe(409);
    expect(await (await board(admin, `/crossmark/${id}`, cookie)).json()).toMatchObject({
      job: { isFailed: false },
    });
  });
});

/** A failed call with this verdict. Its worker is closed. */
async function failedCall(
  admin: TestAdmin,
  settled: { status: string; code: string; message: string },
): Promise<string> {
  const { queue } = upstreamOf(admin);
  const id = await submit(admin);
  const job = await queue.getJob(id);
  await job?.updateData({ ...job.data, settled });
  const worker = work(admin, () => Promise.reject(new UnrecoverableError(settled.code)));
  await finished(admin, id);
  await worker.close();
  return id;
}

test('links to other hosts and inline styles are removed from the page', () => {
  const page =
    '<link href="https://fonts.example/x" rel="stylesheet">\n<link href="static/a.css"><style>a{b:c}</style><div style="x:y">Loading</div>';
  expect(withoutOutsideLinks(page)).toBe('\n<link href="static/a.css"><div>Loading</div>');
});
