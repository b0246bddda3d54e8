import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, expect, inject, test } from 'vitest';
import { FleetBreaker } from './fleet-breaker.ts';

const redis = new Redis(inject('redisUrl'));
afterAll(() => redis.disconnect());

async function fleetOf(workers: number): Promise<FleetBreaker> {
  const policy = { failMax: 3, resetMs: 60_000 };
  const fleet = new FleetBreaker({ redis, root: `test-${randomUUID()}:{testing}`, policy });
  for (let n = 1; n <= workers; n += 1) {
    const worker = { id: `w${n}`, host: 'h', pid: n, capacity: 5, startedAt: 0, active: 0 };
    await fleet.heartbeat({ ...worker, state: 'closed', generation: 0 });
  }
  return fleet;
}

test.each([
  [1, 0],
  [2, 1],
  [3, 1],
  [4, 2],
  [6, 3],
])(
  'of %i workers with faults of their own machines, %i are set aside: never more than half',
  async (workers, most) => {
    const fleet = await fleetOf(workers);
    for (let n = 1; n <= workers; n += 1) await fleet.setAside(`w${n}`, 'local_network');
    const { aside, breaker } = await fleet.snapshot();
    expect(aside).toHaveLength(most);
    expect(breaker.state).toBe('closed');
  },
);

test('a worker that has left is not set aside', async () => {
  const fleet = await fleetOf(3);
  await fleet.leave('w1');
  expect((await fleet.setAside('w1', 'local_network')).aside).toEqual([]);
});
