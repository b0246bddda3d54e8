import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, expect, inject, test, vi } from 'vitest';
import { Holds } from './holds.ts';
import { Reconciler } from './reconciler.ts';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function setup() {
  const root = `test-${randomUUID()}:{up}`;
  const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  stops.push(async () => redis.disconnect());
  const queue = new Queue('up', { connection: redis, prefix: root });
  stops.push(() => queue.close());
  const holds = new Holds({ redis, root, queue });
  const log = { warn: vi.fn(), info: vi.fn() };
  return { queue, holds, log, reconciler: new Reconciler({ holds, log }) };
}

test('a flag that somebody flipped is told of by whatever mends it, not only by the sweep', async () => {
  const { queue, holds, log, reconciler } = setup();
  await holds.set({ kind: 'operator', owner: 'ann', reason: 'x' });
  await reconciler.apply();
  const told = async () => {
    await queue.resume();
    await reconciler.apply();
    return log.warn.mock.calls.map(([, text]) => String(text)).join('\n');
  };
  await expect.poll(told).toContain('behind the back');
  expect(await queue.isPaused()).toBe(true);
});

test('a change of the holds is no mismatch', async () => {
  const { queue, holds, log, reconciler } = setup();
  await reconciler.apply();
  for (let round = 0; round < 5; round += 1) {
    await holds.set({ kind: 'operator', owner: 'ann', reason: 'x' });
    await reconciler.apply();
    await holds.release('operator', { owner: 'ann', reason: 'y' });
    await reconciler.apply();
  }
  expect(log.warn).not.toHaveBeenCalled();
  expect(await queue.isPaused()).toBe(false);
});
