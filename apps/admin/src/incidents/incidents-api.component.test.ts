import { enqueueCall } from '@recloser/calls/write/enqueue';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { describe, expect, inject, test } from 'vitest';
import { startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';

const redisUrl = inject('redisUrl');

function crossmark(admin: TestAdmin) {
  const found = admin.upstreams.find(({ definition }) => definition.name === 'crossmark');
  if (found === undefined) throw new Error('no crossmark');
  return found;
}

async function submit(admin: TestAdmin, day: number): Promise<string> {
  const { queue, definition } = crossmark(admin);
  const operation = definition.operations['list-planning'];
  if (operation === undefined) throw new Error('no such operation');
  const stored = await enqueueCall({
    redis: admin.redis,
    queue,
    prefix: admin.prefix,
    upstream: 'crossmark',
    operation,
    input: { startDate: `2026-02-${10 + day}`, endDate: '2026-03-30' },
    options: { ifOpen: 'defer', priority: 0 } as never,
    sealer: createSealer(admin.sessionKey),
    requestId: 'r-1',
  });
  if (stored.kind !== 'stored') throw new Error(stored.kind);
  return stored.id;
}

type Listed = { incidents: { id: string; calls: Record<string, number>; closedAt: string | null }[] };

describe('the outage ledger', () => {
  test('counts each touched call once, and an id without a stored call as lost', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    const { breaker, queue } = crossmark(admin);
    const list = async () =>
      (await (await fetch(`${admin.url}/api/incidents`, { headers: { cookie } })).json()) as Listed;
    expect(await list()).toEqual({ incidents: [] });
    const ids = [await submit(admin, 1), await submit(admin, 2), await submit(admin, 3)];
    await breaker.forceOpen('ann', 'their night', Date.now() + 600_000);
    expect((await list()).incidents).toMatchObject([
      { openedBy: 'ann', cause: 'their night', closedAt: null, calls: { touched: 3, waiting: 3, lost: 0 } },
    ]);
    await admin.redis.del(queue.toKey(ids[1] ?? ''));
    await breaker.closeFull('ann', 'over');
    await submit(admin, 4);
    const [incident] = (await list()).incidents;
    expect(incident).toMatchObject({
      closedAt: expect.any(String),
      calls: { touched: 3, waiting: 3, lost: 1, inDoubt: 0 },
    });
    const url = `${admin.url}/api/incidents/crossmark/${incident?.id}?download`;
    const saved = await fetch(url, { headers: { cookie } });
    expect(saved.headers.get('content-disposition')).toContain(`incident-crossmark-${incident?.id}.json`);
    const page = await fetch(`${admin.url}/incidents/crossmark/${incident?.id}`, { headers: { cookie } });
    expect(await page.text()).toContain('their night');
  });

  test('an unknown incident returns 404', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    for (const path of [
      '/api/incidents/crossmark/1-0',
      '/api/incidents/nope/1-0',
      '/incidents/crossmark/1-0',
    ]) {
      expect([path, (await fetch(`${admin.url}${path}`, { headers: { cookie } })).status]).toEqual([
        path,
        404,
      ]);
    }
  });
});
