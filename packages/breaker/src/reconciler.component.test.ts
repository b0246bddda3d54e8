import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest';
import { graceMs, Holds } from './holds.ts';
import { Reconciler } from './reconciler.ts';
import { readTransitions } from './upstream-state.ts';

const stops: (() => Promise<unknown>)[] = [];
/** Added to the clock of this process, which otherwise stands still. */
let passedMs = 0;
const pass = (ms: number): void => {
  passedMs += ms;
};
beforeEach(() => {
  const startMs = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => startMs + passedMs);
});
afterEach(async () => {
  vi.restoreAllMocks();
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
  const repairs = async () =>
    (await readTransitions({ redis, root, count: 100 })).flatMap(({ kind, reason }) =>
      kind === 'repair' ? [reason] : [],
    );
  return { queue, holds, log, repairs, reconciler: new Reconciler({ holds, log }) };
}

test('a flipped flag is reported by any repair, not only by the sweep', async () => {
  const { queue, holds, log, reconciler } = setup();
  await holds.set({ kind: 'operator', owner: 'ann', reason: 'x' });
  await reconciler.apply();
  pass(graceMs + 1);
  await queue.resume();
  await reconciler.apply();
  expect(log.warn).toHaveBeenCalledWith(expect.anything(), expect.stringContaining('despite a hold'));
  expect(await queue.isPaused()).toBe(true);
});

test('a change of the holds reports a flag that was flipped before it', async () => {
  const { queue, holds, repairs } = setup();
  await holds.set({ kind: 'sign-in', owner: 'w1', reason: 'x' });
  pass(graceMs + 1);
  await queue.resume();
  await holds.set({ kind: 'operator', owner: 'ann', reason: 'y' });
  expect(await repairs()).toEqual([expect.stringContaining('running despite a hold')]);
  pass(graceMs + 1);
  await queue.resume();
  await holds.release('operator', { owner: 'ann', reason: 'z' });
  expect(await repairs()).toHaveLength(2);
  expect(await queue.isPaused()).toBe(true);
});

test('a mismatch right after a change is repaired without a report, because the change may be in progress', async () => {
  const { queue, holds, log, reconciler, repairs } = setup();
  await holds.set({ kind: 'operator', owner: 'ann', reason: 'x' });
  await queue.resume();
  await reconciler.apply();
  expect(await queue.isPaused()).toBe(true);
  expect(log.warn).not.toHaveBeenCalled();
  expect(await repairs()).toEqual([]);
});

test('a change of the holds is not a mismatch', async () => {
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
