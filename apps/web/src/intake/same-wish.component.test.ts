import { describe, expect, inject, it } from 'vitest';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');
const path = '/v1/calls/crossmark/schedule-event';
const start = (more: { duplicateWindowSeconds?: number } = {}) =>
  startWeb({ redisUrl, duplicateWindowSeconds: 60, ...more });
type Web = Awaited<ReturnType<typeof startWeb>>;

const replayed = (response: Response) => response.headers.get('Idempotency-Replayed');

async function open(web: Web): Promise<void> {
  const breaker = { state: 'open', since: Date.now(), retryAt: Date.now() + 3_600_000, generation: 1 };
  await web.redis.hset(`${web.upstream().root}:breaker`, breaker);
}

type Result = { status: number; call?: { id: string; replayed: boolean } };

async function batch(web: Web, items: readonly unknown[], headers: Record<string, string> = {}) {
  const response = await web.post('/v1/calls:batch', { items }, headers);
  return { status: response.status, results: ((await response.json()) as { results: Result[] }).results };
}

describe('an equal post without a key', () => {
  it('returns the same call with Idempotency-Replayed, also for 50 concurrent requests', async () => {
    await using web = await start();
    const responses = await Promise.all(Array.from({ length: 50 }, () => web.post(path, { input: visit })));
    const calls = await Promise.all(responses.map(callOf));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(calls.map(({ id }) => id)).size).toBe(1);
    expect(responses.filter((response) => replayed(response) !== 'true')).toHaveLength(1);
    const reordered = Object.fromEntries(Object.entries(visit).reverse());
    const repeat = await web.post(path, { input: reordered, options: { priority: 5 } });
    expect([repeat.status, replayed(repeat)]).toEqual([202, 'true']);
    expect(repeat.headers.get('Location')).toBe(`/v1/calls/${calls[0]?.id}`);
    expect(await callOf(repeat)).toMatchObject({ id: calls[0]?.id, status: 'queued', position: 1 });
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(1);
  });

  it('returns the finished call within the window, immediately with Prefer: wait', async () => {
    await using web = await start();
    web.work(async () => ({ result: {}, attempt: {} }));
    const { id } = await callOf(web.post(path, { input: visit }, { Prefer: 'wait=30' }));
    const repeat = await web.post(path, { input: visit }, { Prefer: 'wait=30' });
    expect([repeat.status, replayed(repeat)]).toEqual([200, 'true']);
    expect(await callOf(repeat)).toMatchObject({ id, status: 'succeeded' });
  });

  it('finds a call that was posted with a key', async () => {
    await using web = await start();
    const { id } = await callOf(web.post(path, { input: visit }, { 'Idempotency-Key': 'k' }));
    const repeat = await web.post(path, { input: visit });
    expect([replayed(repeat), (await callOf(repeat)).id]).toEqual(['true', id]);
    const keyed = await web.post(path, { input: visit }, { 'Idempotency-Key': 'other' });
    expect([replayed(keyed), (await callOf(keyed)).id === id]).toEqual([null, false]);
  });

  it('is a new call with allowDuplicate, for an operation without a window, and with the window turned off', async () => {
    await using web = await start();
    await web.post(path, { input: visit });
    const allowed = await web.post(path, { input: visit, options: { allowDuplicate: true } });
    expect(replayed(allowed)).toBeNull();
    expect(await callOf(allowed)).toMatchObject({ options: { allowDuplicate: true } });
    const reads = { input: { mPlanId: '1', locationId: '2' } };
    for (let n = 0; n < 2; n += 1) {
      expect(replayed(await web.post('/v1/calls/crossmark/list-qualified-reps', reads))).toBeNull();
    }
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(4);
    await using off = await start({ duplicateWindowSeconds: 0 });
    for (let n = 0; n < 2; n += 1) expect(replayed(await off.post(path, { input: visit }))).toBeNull();
  });

  it('returns its call with ifOpen: reject while the breaker is open', async () => {
    await using web = await start();
    const { id } = await callOf(web.post(path, { input: visit }));
    await open(web);
    const options = { ifOpen: 'reject' };
    const repeat = await web.post(path, { input: visit, options });
    expect([repeat.status, replayed(repeat), (await callOf(repeat)).id]).toEqual([202, 'true', id]);
    const other = await web.post(path, { input: { ...visit, repId: '7' }, options });
    expect([other.status, (await problemOf(other)).code]).toEqual([503, 'breaker_open']);
    const item = { upstream: 'crossmark', operation: 'schedule-event', input: visit, options };
    expect((await batch(web, [item])).results).toMatchObject([{ status: 202, call: { id, replayed: true } }]);
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(1);
  });

  it('is found for each item of a batch', async () => {
    await using web = await start();
    const item = (options?: object) => ({
      upstream: 'crossmark',
      operation: 'schedule-event',
      input: visit,
      ...(options && { options }),
    });
    const { status, results } = await batch(web, [item(), item(), item({ allowDuplicate: true })]);
    expect(status).toBe(202);
    const [one, two, own] = results.map(({ call }) => call);
    expect(two?.id).toBe(one?.id);
    expect([one?.replayed, two?.replayed].sort()).toEqual([false, true]);
    expect(own?.id).not.toBe(one?.id);
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(2);
  });
});
