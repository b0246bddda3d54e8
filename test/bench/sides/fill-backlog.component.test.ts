import { randomUUID } from 'node:crypto';
import { newCallId, timeOfCallId, upstreamOfCallId } from '@recloser/calls/call/id';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, inject, it, onTestFinished } from 'vitest';
import { callIdAt, fillBacklog } from './fill-backlog.ts';

it.each([undefined, 50])(
  'copies of a job with priority %s are made like the job itself',
  async (priority) => {
    const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
    onTestFinished(() => redis.disconnect());
    const prefix = `bench-${randomUUID()}`;
    const queue = new Queue('calls', { connection: redis, prefix });
    await queue.add('work', { a: 1 }, { jobId: 'sample', ...(priority && { priority }) });
    const target = { redis, keyStart: queue.toKey('') };
    const copyOf = (n: number) => ({ id: `copy-${n}`, atMs: 1_000 + n });
    expect(await fillBacklog(target, { sample: 'sample', count: 30, copyOf })).toBe(30);
    expect(await queue.getJobCounts('wait', 'prioritized', 'delayed')).toMatchObject({
      [priority ? 'prioritized' : 'wait']: 30,
    });
    const [sample, copy] = await Promise.all(['sample', 'copy-7'].map((id) => queue.getJob(id)));
    expect(copy?.asJSON()).toEqual({ ...sample?.asJSON(), id: 'copy-7', timestamp: 1_007 });
    const made: string[] = [];
    const worker = new Worker('calls', async ({ id }) => made.push(String(id)), {
      connection: redis,
      prefix,
    });
    onTestFinished(() => worker.close(true));
    await expect.poll(() => made.length).toBe(30);
    expect(made.slice(0, 2)).toEqual(['sample', 'copy-1']);
    expect(new Set(made).size).toBe(30);
  },
);

it('names calls by the time they are said to be accepted at', () => {
  const atMs = Date.UTC(2026, 2, 3);
  const id = callIdAt(newCallId('crossmark'), atMs, 1_000_000);
  expect(timeOfCallId(id)).toBe(atMs);
  expect(upstreamOfCallId(id, ['crossmark'])).toBe('crossmark');
  expect(id).not.toBe(callIdAt(id, atMs, 1_000_001));
});
