import { cancelWaiting } from '@recloser/calls/write/settle-waiting';
import { describe, expect, inject, it } from 'vitest';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');
type Web = Awaited<ReturnType<typeof startWeb>>;
type Page = {
  calls: { id: string; status: string; upstream: string }[];
  nextCursor: string | null;
  links: { next: string | null };
};

async function submit(web: Web, options: Record<string, unknown> = {}): Promise<string> {
  return (await callOf(web.post('/v1/calls/crossmark/schedule-event', { input: visit, options }))).id;
}

async function page(web: Web, query: string): Promise<Page> {
  const response = await web.get(`/v1/calls${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
}

async function everything(web: Web, query: string): Promise<string[]> {
  const ids: string[] = [];
  for (let next: string | null = `/v1/calls?${query}`; next !== null; ) {
    const { calls, links }: Page = (await (await web.get(next)).json()) as Page;
    ids.push(...calls.map(({ id }) => id));
    next = links.next;
  }
  return ids;
}

describe('GET /v1/calls', () => {
  it('lists newest first, page by page, while calls are added and move', async () => {
    await using web = await startWeb({ redisUrl });
    const ids: string[] = [];
    for (let n = 0; n < 25; n += 1) ids.push(await submit(web, { priority: 1 + (n % 7) }));
    const { calls, nextCursor } = await page(web, '?limit=10');
    expect(calls.map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 10));
    const { queue, root, redis } = { ...web.upstream(), redis: web.redis };
    for (const id of ids.slice(0, 12)) await cancelWaiting({ redis, queue, root }, id, undefined);
    await submit(web);
    const rest = await everything(web, `limit=4&cursor=${nextCursor}`);
    expect(rest).toEqual(ids.toReversed().slice(10));
    expect(await everything(web, 'limit=5&status=cancelled')).toEqual(ids.slice(0, 12).toReversed());
    expect(await everything(web, 'limit=200&status=queued')).toHaveLength(14);
  });

  it('combines filters, and shows the list without results and histories', async () => {
    await using web = await startWeb({ redisUrl });
    const attempt = {
      at: new Date().toISOString(),
      durationMs: 1,
      outcome: 'done',
      status: 200,
      code: null,
      message: null,
      worker: 'w',
    };
    const id = await submit(web);
    const report = await callOf(
      web.post('/v1/calls/walmart-edr/get-report', { input: { eventId: '123456' } }),
    );
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const scheduled = await submit(web, { runAt });
    web.work(async () => ({ result: { big: true }, attempt }));
    await web.get(`/v1/calls/${id}?wait=30`);
    expect(await everything(web, '')).toEqual([scheduled, report.id, id]);
    expect(await everything(web, 'upstream=walmart-edr')).toEqual([report.id]);
    expect(await everything(web, 'upstream=walmart-edr&status=succeeded')).toEqual([]);
    expect(await everything(web, 'status=scheduled')).toEqual([scheduled]);
    const { calls } = await page(web, '?status=succeeded');
    expect(calls).toMatchObject([
      { id, status: 'succeeded', upstream: 'crossmark', input: visit, startedAt: expect.any(String) },
    ]);
    expect(calls[0]).not.toHaveProperty('result');
    await web.holds().set({ kind: 'operator', owner: 'ann', reason: 'x' });
    const held = await submit(web);
    expect(await everything(web, 'status=deferred')).toContain(held);
  });

  it.each([
    'limit=0',
    'limit=201',
    'limit=x',
    'status=lost',
    'upstream=no',
    'cursor=abc',
    'what=1',
    'limit=1&limit=2',
  ])('refuses ?%s', async (query) => {
    await using web = await startWeb({ redisUrl });
    const response = await web.get(`/v1/calls?${query}`);
    expect(response.status).toBe(400);
    expect((await problemOf(response)).code).toBe('invalid_query');
  });
});
