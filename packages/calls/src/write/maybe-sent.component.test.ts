import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import type { Envelope } from '../call/envelope.ts';
import { queueOptions } from '../call/keys.ts';
import { markMaybeSent } from './maybe-sent.ts';

const isUnsafe = (operation: string) => operation === 'write';

function envelope(change: Partial<Envelope> = {}): Envelope {
  return {
    v: 1,
    operation: 'write',
    input: { a: '1' },
    options: { ifOpen: 'defer', priority: 50, maxAttempts: 3 },
    createdAt: '2027-01-05T10:00:00.000Z',
    requestId: 'r1',
    deferrals: 0,
    trials: 0,
    history: [],
    ...change,
  };
}

function setup() {
  const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  const { name, ...where } = queueOptions(`test-${randomUUID()}`, 'testing');
  const queue = new Queue<Envelope>(name, { ...where, connection: redis });
  const worker = new Worker(name, null, { ...where, connection: redis });
  onTestFinished(async () => {
    await Promise.all([worker.close(), queue.close()]);
    redis.disconnect();
  });
  const sendingOf = async (id: string) => (await queue.getJob(id))?.data.sending;
  return { queue, worker, sendingOf };
}

test('marks queued, delayed and active writes, each only once', async () => {
  const { queue, worker, sendingOf } = setup();
  await queue.add('write', envelope(), { jobId: 'active-1', priority: 1 });
  await worker.getNextJob('token');
  await queue.add('write', envelope(), { jobId: 'first-1' });
  await queue.add('write', envelope(), { jobId: 'in-line-1', priority: 50 });
  await queue.add('write', envelope(), { jobId: 'later-1', delay: 60_000 });
  expect(await markMaybeSent(queue, isUnsafe)).toEqual({ marked: 4, unreadable: 0 });
  for (const id of ['active-1', 'first-1', 'in-line-1', 'later-1'])
    expect(await sendingOf(id)).toMatchObject({ worker: 'after-restore' });
  expect(await markMaybeSent(queue, isUnsafe)).toEqual({ marked: 0, unreadable: 0 });
});

test('does not change reads, ended calls and existing marks, and counts unreadable calls', async () => {
  const { queue, worker, sendingOf } = setup();
  await queue.add('write', envelope(), { jobId: 'ended-1' });
  const job = await worker.getNextJob('token');
  await job?.moveToCompleted({ result: null }, 'token', false);
  await queue.add('read', envelope({ operation: 'read' }), { jobId: 'read-1' });
  const sending = { at: '2027-01-05T10:00:01.000Z', worker: 'w1' };
  await queue.add('write', envelope({ sending }), { jobId: 'sent-1' });
  await queue.add('write', { v: 9 } as never, { jobId: 'other-1' });
  expect(await markMaybeSent(queue, isUnsafe)).toEqual({ marked: 0, unreadable: 1 });
  expect(await sendingOf('ended-1')).toBeUndefined();
  expect(await sendingOf('read-1')).toBeUndefined();
  expect(await sendingOf('sent-1')).toEqual(sending);
});

test('processes more than one slice', async () => {
  const { queue } = setup();
  await queue.addBulk(Array.from({ length: 1_201 }, () => ({ name: 'write', data: envelope() })));
  expect(await markMaybeSent(queue, isUnsafe)).toEqual({ marked: 1_201, unreadable: 0 });
});
