import { resultKeyOf } from '@recloser/calls/write/last-good';
import { describe, expect, inject, it } from 'vitest';
// @boundaries-ignore Tests beside the code start servers as all other tests do.
import { startRedisServer } from '../../../../test/support/redis/redis-server.ts';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');
type Result = {
  index: number;
  status: number;
  call?: { id: string; status: string | null; replayed: boolean };
  problem?: { code: string };
  stale?: { result: unknown };
};
type Web = Awaited<ReturnType<typeof startWeb>>;

const item = (more: Record<string, unknown> = {}) => ({
  upstream: 'crossmark',
  operation: 'schedule-event',
  input: visit,
  ...more,
});

async function submit(web: Web, items: unknown[], headers: Record<string, string> = {}) {
  const response = await web.post('/v1/calls:batch', { items }, headers);
  const { results } = (await response.clone().json()) as { results: Result[] };
  return { response, status: response.status, results };
}

/** Opens the breaker. */
async function open(web: Web): Promise<void> {
  await web.redis.hset(`${web.upstream().root}:breaker`, {
    state: 'open',
    since: Date.now(),
    retryAt: Date.now() + 3_600_000,
    generation: 1,
  });
}

describe('a batch', () => {
  it('is stored item by item, for several upstreams, in order', async () => {
    await using web = await startWeb({ redisUrl });
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const { status, results } = await submit(web, [
      item(),
      { upstream: 'walmart-edr', operation: 'get-report', input: { eventId: '123456' } },
      item({ options: { runAt } }),
    ]);
    expect(status).toBe(202);
    expect(results).toMatchObject([
      { index: 0, status: 202, call: { status: 'queued', replayed: false } },
      { index: 1, status: 202, call: { status: 'queued' } },
      { index: 2, status: 202, call: { status: 'scheduled' } },
    ]);
    for (const { call } of results) expect((await web.get(`/v1/calls/${call?.id}`)).status).toBe(200);
  });

  it('can be repeated safely, with keys per item or one key for all', async () => {
    await using web = await startWeb({ redisUrl });
    const keyed = [
      item({ idempotencyKey: 'a' }),
      item({ idempotencyKey: 'b' }),
      item({ idempotencyKey: 'a' }),
    ];
    const ids = ({ results }: { results: Result[] }) => results.map(({ call }) => call?.id);
    const first = await submit(web, keyed);
    expect(ids(first)[0]).toBe(ids(first)[2]);
    const again = await submit(web, keyed);
    expect(ids(again)).toEqual(ids(first));
    expect(again.results.every(({ call }) => call?.replayed)).toBe(true);
    // The same key in a single submission returns the same call.
    const single = await web.post(
      '/v1/calls/crossmark/schedule-event',
      { input: visit },
      { 'Idempotency-Key': 'b' },
    );
    expect((await callOf(single)).id).toBe(ids(first)[1]);
    const all = { 'Idempotency-Key': 'whole' };
    const whole = await submit(web, [item(), item()], all);
    expect(ids(await submit(web, [item(), item()], all))).toEqual(ids(whole));
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(4);
    const other = await submit(web, [item({ options: { priority: 9 } }), item()], all);
    expect(other.status).toBe(207);
    expect(other.results).toMatchObject([
      { status: 422, problem: { code: 'idempotency_key_reused' } },
      { status: 202 },
    ]);
  });

  it('follows ifOpen item by item', async () => {
    await using web = await startWeb({ redisUrl });
    await open(web);
    const reps = {
      upstream: 'crossmark',
      operation: 'list-qualified-reps',
      input: { mPlanId: '1', locationId: '2' },
    };
    const { status, results } = await submit(web, [
      item(),
      item({ options: { ifOpen: 'reject' } }),
      { ...reps, options: { ifOpen: 'stale' } },
    ]);
    expect(status).toBe(207);
    expect(results).toMatchObject([
      { status: 202 },
      { status: 503, problem: { code: 'breaker_open' } },
      { status: 202 },
    ]);
  });

  it('is refused as a whole if it exceeds the backlog or Redis is unavailable', async () => {
    await using web = await startWeb({ redisUrl, maxBacklog: 2 });
    const refused = await web.post('/v1/calls:batch', { items: [item(), item(), item()] });
    expect(refused.status).toBe(429);
    expect((await problemOf(refused)).code).toBe('backlog_full');
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(0);
    const own = await startRedisServer();
    await using alone = await startWeb({ redisUrl: own.url });
    await own.kill();
    const away = await alone.post('/v1/calls:batch', { items: [item()] });
    expect([away.status, (await problemOf(away)).code]).toEqual([503, 'storage_unavailable']);
  });

  it('reports the result per item if Redis fails midway', async () => {
    const own = await startRedisServer();
    await using web = await startWeb({ redisUrl: own.url, productionTimes: true });
    const items = Array.from({ length: 120 }, () => item());
    // Every state is read before the first write: freeze Redis once the first wave has begun.
    const { queue } = web.upstream();
    const { toKey } = queue;
    let stored = 0;
    queue.toKey = (part) => {
      // Called once per stored call.
      if (part === '') stored += 1;
      if (stored === 60) own.freeze();
      return toKey(part);
    };
    const { status, results } = await submit(web, items);
    own.thaw();
    expect(status).toBe(207);
    const codes = results.map(({ status: one, problem }) => problem?.code ?? one);
    expect(codes.slice(0, 50)).toEqual(Array.from({ length: 50 }, () => 202));
    expect(codes.slice(50, 100)).toContain('storage_unknown');
    expect(codes.slice(100)).toEqual(Array.from({ length: 20 }, () => 'storage_unavailable'));
  });
});

describe('a stale answer', () => {
  const path = '/v1/calls/crossmark/list-qualified-reps';
  const input = { mPlanId: '1', locationId: '2' };
  const stale = { input, options: { ifOpen: 'stale' } };
  const attempt = {
    at: new Date().toISOString(),
    durationMs: 1,
    outcome: 'done',
    status: 200,
    code: null,
    message: null,
    worker: 'w',
  };

  it('comes from the newest completed call of the same input, opened, and only while the breaker is not closed', async () => {
    await using web = await startWeb({ redisUrl });
    let made = 0;
    web.work(async () => {
      made += 1;
      return {
        result: { sealed: web.sealer.seal(JSON.stringify({ reps: [{ repId: String(made) }] })) },
        attempt,
      };
    });
    const call = async (body: unknown) => callOf(web.post(path, body, { Prefer: 'wait=30' }));
    await call({ input });
    await open(web);
    const first = await web.post(path, stale);
    expect(first.status).toBe(200);
    expect(first.headers.get('Age')).toMatch(/^\d+$/);
    expect(await first.json()).toMatchObject({ stale: true, result: { reps: [{ repId: '1' }] }, input });
    const newer = await call({ input });
    expect(await (await web.post(path, stale)).json()).toMatchObject({
      id: newer.id,
      result: { reps: [{ repId: '2' }] },
      links: { self: `/v1/calls/${newer.id}` },
    });
    // Another input, or a closed breaker: an ordinary call.
    expect((await web.post(path, { ...stale, input: { ...input, locationId: '3' } })).status).toBe(202);
    await web.redis.del(`${web.upstream().root}:breaker`);
    expect((await web.post(path, stale)).status).toBe(202);
    expect(web.lines.join('')).not.toContain('repId');
  });

  it('outlives its call if a worker copied it, but not its maximum age', async () => {
    await using web = await startWeb({ redisUrl, staleTtlSeconds: 3_600 });
    await open(web);
    const { root } = web.upstream();
    const key = `${root}:last-good:${resultKeyOf('list-qualified-reps', input)}`;
    const keep = (ageMs: number) =>
      web.redis.set(
        key,
        JSON.stringify({ id: 'crossmark-x', finishedMs: Date.now() - ageMs, result: { reps: [] } }),
      );
    await keep(1_800_000);
    const answer = await web.post(path, stale);
    expect(answer.status).toBe(200);
    expect(Number(answer.headers.get('Age'))).toBeGreaterThanOrEqual(1_800);
    await keep(3_601_000);
    expect((await web.post(path, stale)).status).toBe(202);
    expect(await web.redis.zrange(`${root}:last-good-wanted`, 0, '-1')).toEqual(['list-qualified-reps']);
  });
});
