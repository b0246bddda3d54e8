import { newCallId } from '@recloser/calls/call/id';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { UnrecoverableError } from 'bullmq';
import { describe, expect, inject, it } from 'vitest';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');
const path = '/v1/calls/crossmark/schedule-event';
const attempt = {
  at: '2026-01-01T00:00:00.000Z',
  durationMs: 12,
  outcome: 'done',
  status: 200,
  code: null,
  message: null,
  worker: 'w1',
};
const success = { result: { scheduleEventId: '77' }, attempt };

type Web = Awaited<ReturnType<typeof startWeb>>;

async function submit(web: Web, options = {}): Promise<string> {
  return (await callOf(web.post(path, { input: visit, options }))).id;
}

async function show(web: Web, id: string) {
  const response = await web.get(`/v1/calls/${id}`);
  return { status: response.status, call: await callOf(response) };
}

/** Asks until the call has the status, then returns it. */
async function reach(web: Web, id: string, status: string) {
  await expect.poll(async () => (await show(web, id)).call.status).toBe(status);
  return (await show(web, id)).call;
}

describe('GET /v1/calls/{id}', () => {
  it('has every field in every status', async () => {
    await using web = await startWeb({ redisUrl });
    const { call } = await show(web, await submit(web));
    expect(Object.keys(call).sort()).toEqual(
      [
        'id',
        'upstream',
        'operation',
        'status',
        'input',
        'options',
        'createdAt',
        'startedAt',
        'finishedAt',
        'attempts',
        'history',
        'nextAttemptAt',
        'holds',
        'position',
        'estimate',
        'result',
        'error',
        'links',
      ].sort(),
    );
    expect(call).toMatchObject({
      status: 'queued',
      startedAt: null,
      result: null,
      error: null,
      attempts: { made: 0, max: 8, deferrals: 0, stalls: 0 },
    });
  });

  it('shows running, then succeeded with the result', async () => {
    await using web = await startWeb({ redisUrl });
    const gate = Promise.withResolvers<void>();
    web.work(async () => {
      await gate.promise;
      return success;
    });
    const id = await submit(web);
    expect(await reach(web, id, 'running')).toMatchObject({
      startedAt: expect.any(String),
      finishedAt: null,
      holds: [],
    });
    gate.resolve();
    expect(await reach(web, id, 'succeeded')).toMatchObject({
      result: { scheduleEventId: '77' },
      error: null,
      history: [attempt],
      attempts: { made: 1 },
      position: null,
      startedAt: attempt.at,
      finishedAt: expect.any(String),
      nextAttemptAt: null,
    });
  });

  it('shows retrying with the time of the next attempt', async () => {
    await using web = await startWeb({ redisUrl });
    web.work(async (job) => {
      const entry = { ...attempt, outcome: 'retry', status: 503, code: 'http_5xx', message: 'answered 503' };
      await job.updateData({ ...job.data, history: [entry] });
      throw new Error('http_5xx');
    });
    const call = await reach(web, await submit(web), 'retrying');
    expect(Date.parse(call.nextAttemptAt ?? '')).toBeGreaterThanOrEqual(Date.parse(call.createdAt) + 60_000);
    expect(call).toMatchObject({
      attempts: { made: 1 },
      error: null,
      history: [{ outcome: 'retry', status: 503 }],
    });
  });

  it.each([
    ['failed', 1],
    ['in_doubt', 1],
    ['expired', 0],
    ['cancelled', 0],
  ])('shows %s with its reason and the attempts that were really made', async (status, made) => {
    await using web = await startWeb({ redisUrl });
    web.work(async (job) => {
      await job.updateData({
        ...job.data,
        settled: { status, code: 'why', message: 'because', httpStatus: 409 },
      });
      throw new UnrecoverableError('why');
    });
    const call = await reach(web, await submit(web), status);
    expect(call).toMatchObject({
      error: { code: 'why', message: 'because', status: 409 },
      attempts: { made },
      result: null,
    });
    expect(call.finishedAt).toEqual(expect.any(String));
  });

  it('opens a personal result for the client, which is sealed in Redis', async () => {
    await using web = await startWeb({ redisUrl });
    web.work(async () => ({ result: { sealed: web.sealer.seal('{"reps":[{"name":"Ann"}]}') }, attempt }));
    const call = await reach(web, await submit(web), 'succeeded');
    expect(call.result).toEqual({ reps: [{ name: 'Ann' }] });
    expect(JSON.stringify((await web.upstream().queue.getJob(call.id))?.returnvalue)).not.toContain('Ann');
  });

  it('explains that a personal result sealed with another key cannot be shown', async () => {
    await using web = await startWeb({ redisUrl });
    const elsewhere = createSealer(Buffer.alloc(32, 9));
    web.work(async () => ({ result: { sealed: elsewhere.seal('{"reps":[{"name":"Ann"}]}') }, attempt }));
    const id = await submit(web);
    await expect
      .poll(async () => (await show(web, id)).call)
      .toMatchObject({
        status: 'succeeded',
        result: null,
        error: { code: 'result_unreadable', status: null },
        attempts: { made: 1 },
      });
  });

  it('shows a call that only another release or another key can read', async () => {
    await using web = await startWeb({ redisUrl });
    const ids = [await submit(web), await submit(web), await submit(web)];
    const { queue } = web.upstream();
    const changes = [
      { operation: 'of-the-next-release' },
      { v: 2, input: 'a new form' },
      { input: { comments: { sealed: createSealer(Buffer.alloc(32, 9)).seal('"x"') } } },
    ];
    for (const [n, id] of ids.entries()) {
      const job = await queue.getJob(id);
      await job?.updateData({ ...job.data, ...changes[n] });
    }
    const shown = await Promise.all(ids.map((id) => show(web, id)));
    expect(shown.map(({ status, call }) => [status, call.status, call.operation])).toEqual([
      [200, 'queued', 'of-the-next-release'],
      [200, 'queued', 'schedule-event'],
      [200, 'queued', 'schedule-event'],
    ]);
    const list = await web.get('/v1/calls');
    expect(list.status).toBe(200);
    const { calls } = (await list.json()) as { calls: { id: string }[] };
    expect(calls.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  });

  it('shows the position in the queue', async () => {
    await using web = await startWeb({ redisUrl });
    const [late, first] = [await submit(web), await submit(web, { priority: 1 })];
    expect((await show(web, first)).call.position).toBe(1);
    expect((await show(web, late)).call.position).toBe(2);
  });

  it('answers 404 for an unknown id and 410 for one older than any kept call', async () => {
    await using web = await startWeb({ redisUrl });
    const made = (ms: number) => {
      const hex = ms.toString(16).padStart(12, '0');
      return `crossmark-${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
    };
    for (const id of [
      'nope',
      'crossmark-1',
      made(Date.now()),
      made(Date.now()).replace('crossmark', 'other'),
    ]) {
      expect(await show(web, id)).toMatchObject({ status: 404, call: { code: 'call_not_found' } });
    }
    // Old enough, but never issued.
    expect((await show(web, made(Date.now() - 25 * 3_600_000))).status).toBe(404);
  });

  it('answers 410 for a call that was trimmed, by age or by number', async () => {
    const retention = { ageSeconds: 3600, count: 1 };
    await using web = await startWeb({ redisUrl, retention });
    web.work(async () => ({ result: 1, attempt }));
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      const id = await submit(web);
      await reach(web, id, 'succeeded');
      ids.push(id);
    }
    expect(await show(web, ids[0] ?? '')).toMatchObject({ status: 410, call: { code: 'call_gone' } });
    expect((await show(web, ids[2] ?? '')).status).toBe(200);
    // Issued but never stored, and within the retention time.
    expect((await show(web, newCallId('crossmark'))).status).toBe(404);
  });
});

describe('waiting', () => {
  it('answers the submission itself with 200 once the call is finished', async () => {
    await using web = await startWeb({ redisUrl });
    web.work(async () => success);
    const response = await web.post(path, { input: visit }, { Prefer: 'respond-async, wait=30' });
    expect(response.status).toBe(200);
    expect(response.headers.get('Preference-Applied')).toBe('wait=30');
    expect(await response.json()).toMatchObject({ status: 'succeeded', result: { scheduleEventId: '77' } });
  });

  it('answers 202 after the wait has passed, and 200 to GET', async () => {
    await using web = await startWeb({ redisUrl });
    const id = await submit(web);
    const startedAt = performance.now();
    const [posted, polled] = await Promise.all([
      web.post(path, { input: visit }, { Prefer: 'wait=1' }),
      web.get(`/v1/calls/${id}?wait=1`),
    ]);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect([posted.status, posted.headers.get('Preference-Applied')]).toEqual([202, null]);
    expect(polled.status).toBe(200);
    expect(await polled.json()).toMatchObject({ status: 'queued' });
  });

  // Shorter than the wait, so a poll that ran to its timeout would fail.
  const wait = 30;
  const soon = { timeout: 20_000 };

  it('answers 40 long polls as soon as their call ends', soon, async () => {
    await using web = await startWeb({ redisUrl });
    const gate = Promise.withResolvers<void>();
    web.work(async () => {
      await gate.promise;
      return success;
    });
    const id = await submit(web);
    await reach(web, id, 'running');
    const polls = Array.from({ length: 40 }, () => web.get(`/v1/calls/${id}?wait=${wait}`));
    await expect.poll(web.waiting).toBe(40);
    gate.resolve();
    const calls = await Promise.all(polls.map(callOf));
    expect(calls.map(({ status }) => status)).toEqual(Array.from({ length: 40 }, () => 'succeeded'));
  });

  it('ends immediately when the process stops', soon, async () => {
    await using web = await startWeb({ redisUrl });
    const poll = web.get(`/v1/calls/${await submit(web)}?wait=${wait}`);
    await expect.poll(web.waiting).toBe(1);
    await web.waiter.stop();
    expect(await (await poll).json()).toMatchObject({ status: 'queued' });
  });

  it('refuses a wait that is not a number', async () => {
    await using web = await startWeb({ redisUrl });
    const response = await web.get(`/v1/calls/${await submit(web)}?wait=soon`);
    expect({ status: response.status, code: (await problemOf(response)).code }).toEqual({
      status: 400,
      code: 'invalid_query',
    });
  });
});
