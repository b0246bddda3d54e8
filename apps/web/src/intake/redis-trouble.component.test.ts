import { describe, expect, it, vi } from 'vitest';
// @boundaries-ignore Tests beside the code start servers as all other tests do.
import { startRedisServer } from '../../../../test/support/redis/redis-server.ts';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const path = '/v1/calls/crossmark/schedule-event';

type Web = Awaited<ReturnType<typeof startWeb>>;
async function read(response: Response | Promise<Response>) {
  const answer = await response;
  return {
    status: answer.status,
    retryAfter: Number(answer.headers.get('Retry-After')),
    body: await problemOf(answer),
  };
}

/** The response 2 s after the first command to Redis, by a fake clock. */
async function answerWithin2s(web: Web, ask: () => Promise<Response>) {
  const sent = vi.spyOn(web.redis, 'sendCommand');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const answer = read(ask());
    while (sent.mock.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await vi.advanceTimersByTimeAsync(2_000);
    return await answer;
  } finally {
    vi.useRealTimers();
    sent.mockRestore();
  }
}

describe('Redis in trouble', () => {
  it('frozen: answers storage_unknown within 2 s, and a retry finds the call', async () => {
    const redis = await startRedisServer();
    await using web = await startWeb({ redisUrl: redis.url, productionTimes: true });
    web.watch.stop();
    await web.post(path, { input: visit });
    redis.freeze();
    const keyed = () => web.post(path, { input: { ...visit, repId: '9' } }, { 'Idempotency-Key': 'k' });
    const lost = await answerWithin2s(web, keyed);
    const bare = await answerWithin2s(web, () => web.post(path, { input: visit }));
    for (const answer of [lost, bare]) {
      expect(answer).toMatchObject({
        status: 503,
        body: { code: 'storage_unknown', id: expect.stringMatching(/^crossmark-/) },
      });
      expect(answer.retryAfter).toBeGreaterThanOrEqual(1);
    }
    redis.thaw();
    await expect.poll(async () => (await web.get('/v1/upstreams')).status).toBe(200);
    const repeat = await keyed();
    expect({ status: repeat.status, id: (await callOf(repeat)).id }).toEqual({
      status: 202,
      id: lost.body.id,
    });
    // Redis also stored the call without a key, because the command was in its socket buffer.
    expect((await web.get(`/v1/calls/${bare.body.id}`)).status).toBe(200);
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(3);
  });

  it('frozen: a cancellation is storage_unknown too', async () => {
    const redis = await startRedisServer();
    await using web = await startWeb({ redisUrl: redis.url, productionTimes: true });
    web.watch.stop();
    const { id } = await callOf(await web.post(path, { input: visit }));
    redis.freeze();
    const answer = await answerWithin2s(web, () => web.delete(`/v1/calls/${id}`));
    expect(answer).toMatchObject({ status: 503, body: { code: 'storage_unknown', id } });
    expect(answer.retryAfter).toBeGreaterThanOrEqual(1);
    redis.thaw();
    // The command was in Redis' socket buffer.
    const status = async () => (await web.get(`/v1/calls/${id}`)).json();
    await expect.poll(status).toMatchObject({ status: 'cancelled' });
  });

  it('killed: refuses immediately, stores nothing, and answers 503 to reads', async () => {
    const redis = await startRedisServer();
    await using web = await startWeb({ redisUrl: redis.url });
    await redis.kill();
    await expect.poll(() => web.redis.status).not.toBe('ready');
    const answer = await read(web.post(path, { input: visit }, { 'Idempotency-Key': 'k' }));
    expect(answer).toMatchObject({ status: 503, body: { code: 'storage_unavailable' } });
    expect(answer.retryAfter).toBeGreaterThanOrEqual(1);
    for (const address of ['/v1/upstreams', '/v1/calls/crossmark-0199d1de-0000-7000-8000-000000000000']) {
      expect(await read(web.get(address))).toMatchObject({
        status: 503,
        body: { code: 'storage_unavailable' },
      });
    }
    const ready = await read(web.get('/health/ready'));
    expect(ready.status).toBe(503);
    expect((await web.get('/health')).status).toBe(503);
    expect((await web.get('/health/live')).status).toBe(200);
  });

  it('nearly full: refuses calls', async () => {
    const redis = await startRedisServer();
    await using web = await startWeb({ redisUrl: redis.url });
    const used = Number(/used_memory:(\d+)/.exec(await web.redis.info('memory'))?.[1]);
    await web.redis.config('SET', 'maxmemory', String(Math.floor(used * 1.15)));
    await web.watch.check();
    const answer = await read(web.post(path, { input: visit }));
    expect(answer).toMatchObject({ status: 503, body: { code: 'storage_unsafe' } });
    expect(answer.retryAfter).toBeGreaterThanOrEqual(1);
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(0);
    expect((await web.get('/health/ready')).status).toBe(503);
  });

  it('full: distinguishes a refused write from an unknown one', async () => {
    const redis = await startRedisServer();
    await using web = await startWeb({ redisUrl: redis.url });
    await web.watch.check();
    web.watch.stop();
    await web.redis.config('SET', 'maxmemory', '1');
    const answer = await read(web.post(path, { input: visit }, { 'Idempotency-Key': 'k' }));
    expect(answer).toMatchObject({ status: 503, body: { code: 'storage_unavailable' } });
  });

  it('unsafe configuration: refuses calls in production, only reports elsewhere', async () => {
    const redis = await startRedisServer();
    await using web = await startWeb({ redisUrl: redis.url, production: true });
    await web.watch.check();
    expect((await web.post(path, { input: visit })).status).toBe(202);
    expect((await web.get('/health/ready')).status).toBe(200);
    await web.redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await web.watch.check();
    expect(await read(web.post(path, { input: visit }))).toMatchObject({
      status: 503,
      body: { code: 'storage_unsafe' },
    });
    expect((await web.get('/health/ready')).status).toBe(503);
    await using development = await startWeb({ redisUrl: redis.url });
    await development.watch.check();
    expect((await development.post(path, { input: visit })).status).toBe(202);
  });
});

describe('health', () => {
  it('reports a held upstream as a warning, not a failure', async () => {
    const redis = await startRedisServer();
    await using web = await startWeb({ redisUrl: redis.url });
    const { root } = web.upstream();
    await web.redis.hset(`${root}:breaker`, {
      state: 'open',
      since: Date.now(),
      retryAt: Date.now() + 3_600_000,
      generation: 1,
    });
    const response = await web.get('/health');
    expect(response.status).toBe(200);
    expect(response.headers.get('Content-Type')).toBe('application/health+json');
    expect(await response.json()).toMatchObject({
      status: 'warn',
      checks: {
        'crossmark:breaker': [{ status: 'warn', observedValue: 'open' }],
        'redis:connection': [{ status: 'pass' }],
      },
    });
    expect((await web.get('/health/ready')).status).toBe(200);
  });
});
