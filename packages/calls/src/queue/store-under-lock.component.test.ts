import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { queueOptions } from '../call/keys.ts';
import { storeUnderLock } from './store-under-lock.ts';

const firstLockMs = 60_000;
const lockMs = 120_000;

/** A call that is locked by `token`. */
async function setup() {
  const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  const { name, ...where } = queueOptions(`test-${randomUUID()}`, 'testing');
  const queue = new Queue(name, { ...where, connection: redis });
  const worker = new Worker(name, null, { ...where, connection: redis, lockDuration: firstLockMs });
  onTestFinished(async () => {
    await Promise.all([worker.close(true), queue.close()]);
    redis.disconnect();
  });
  const { id = '' } = await queue.add('write', { said: 'first' });
  await worker.getNextJob('mine', { block: false });
  const store = (token: string, data: unknown) => storeUnderLock({ redis, queue, id, token, lockMs, data });
  const stored = async () => (await queue.getJob(id))?.data;
  return { redis, queue, id, store, stored };
}

test('the holder stores, and its lock is extended', async () => {
  const { redis, queue, id, store, stored } = await setup();
  await redis.sadd(queue.toKey('stalled'), id);
  expect(await store('mine', { said: 'second' })).toBe(true);
  expect(await stored()).toEqual({ said: 'second' });
  expect(await redis.pttl(`${queue.toKey(id)}:lock`)).toBeGreaterThan(firstLockMs);
  // Extending a lock also clears the stalled mark.
  expect(await redis.sismember(queue.toKey('stalled'), id)).toBe(0);
});

test('a worker that lost the lock, to another worker or by expiry, writes nothing', async () => {
  const { redis, queue, id, store, stored } = await setup();
  expect(await store('somebody else', { said: 'wrong' })).toBe(false);
  await redis.del(`${queue.toKey(id)}:lock`);
  expect(await store('mine', { said: 'late' })).toBe(false);
  expect(await stored()).toEqual({ said: 'first' });
  expect(await redis.exists(`${queue.toKey(id)}:lock`)).toBe(0);
});

test('a removed call is an error and is not partly recreated', async () => {
  const { redis, queue, id, store } = await setup();
  await redis.del(queue.toKey(id));
  await expect(store('mine', { said: 'second' })).rejects.toThrow(`the call ${id} was removed`);
  expect(await redis.exists(queue.toKey(id))).toBe(0);
});
