import { type Advert, advertisedAddress } from '@recloser/calls/call/advert';
import { type Need, noteUnmet } from '@recloser/calls/call/need';
import { expect, inject, test } from 'vitest';
import { startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';
import type { Snapshot } from './upstream-view.ts';

const redisUrl = inject('redisUrl');

function upstreamOf(admin: TestAdmin) {
  const [upstream] = admin.upstreams;
  if (!upstream) throw new Error('no upstream');
  return upstream;
}

/** Says that a worker lives, as its heartbeat does. */
async function beat(admin: TestAdmin, id: string, advert: Partial<Advert> | null): Promise<void> {
  const report = { id, host: 'h', pid: 1, startedAt: Number(id), capacity: 1, active: 0, state: 'closed' };
  const whole = { operations: [], envelopes: [1], keys: [], addresses: {}, ...advert };
  await upstreamOf(admin).breaker.heartbeat(
    { ...report, generation: 0 },
    advert === null ? '' : JSON.stringify(whole),
  );
}

async function shown(admin: TestAdmin) {
  const cookie = await admin.login('viewer');
  const answer = await fetch(`${admin.url}/api/upstreams`, { headers: { cookie } });
  const [upstream] = ((await answer.json()) as Snapshot).upstreams;
  if (!upstream) throw new Error('no upstream');
  return upstream;
}

test('a worker with other addresses than most is shown with both hosts, and nothing else of the addresses', async () => {
  await using admin = await startAdmin(redisUrl);
  const real = { BASE_URL: advertisedAddress('https://api.example/secret-path') };
  await beat(admin, '1', { addresses: { BASE_URL: advertisedAddress('http://127.0.0.1:3002/crossmark') } });
  await beat(admin, '2', { addresses: real });
  await beat(admin, '3', { addresses: real });
  await beat(admin, '4', null);
  const { fleet } = await shown(admin);
  const byId = Object.fromEntries(fleet.map(({ id, differs }) => [id, differs]));
  expect(byId).toEqual({
    1: [{ variable: 'BASE_URL', host: '127.0.0.1:3002', fleetHost: 'api.example' }],
    2: [],
    3: [],
    4: [],
  });
  expect(JSON.stringify(fleet)).not.toContain('secret-path');
});

test('a worker that left is forgotten with what it said', async () => {
  await using admin = await startAdmin(redisUrl);
  await beat(admin, '1', { operations: ['x'] });
  const { breaker, root } = upstreamOf(admin);
  expect(await admin.redis.hlen(`${root}:adverts`)).toBe(1);
  await breaker.leave('1');
  expect(await admin.redis.hlen(`${root}:adverts`)).toBe(0);
});

test('what no live worker can make is shown, until one that can has started', async () => {
  await using admin = await startAdmin(redisUrl);
  const { root } = upstreamOf(admin);
  const need: Need = { kind: 'operation', name: 'of-the-next-release' };
  await beat(admin, '1', { operations: ['schedule-event'] });
  await noteUnmet({ redis: admin.redis, root }, need);
  await noteUnmet({ redis: admin.redis, root }, { kind: 'session-key', fingerprint: 'abc' });
  expect((await shown(admin)).unmet).toEqual([
    { kind: 'operation', words: expect.stringContaining('of-the-next-release') },
    { kind: 'session-key', words: expect.stringContaining('SESSION_KEY') },
  ]);
  await beat(admin, '2', { operations: ['of-the-next-release'], keys: ['abc'] });
  expect((await shown(admin)).unmet).toEqual([]);
});
