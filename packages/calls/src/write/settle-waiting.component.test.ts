import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { Envelope } from '../call/envelope.ts';
import { deadlinesKey, queueOptions, upstreamRoot } from '../call/keys.ts';
import { callView, readCall } from '../read/view.ts';
import { type EnqueueRequest, enqueueCall } from './enqueue.ts';
import { callOptions } from './options.ts';
import { retryCall } from './retry-call.ts';
import { cancelWaiting, expireWaiting } from './settle-waiting.ts';

let redis: Redis;
let queue: Queue;
let prefix: string;
let root: string;

beforeEach(async () => {
  redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  await redis.ping();
  prefix = `test-${randomUUID()}`;
  root = upstreamRoot(prefix, 'crossmark');
  queue = new Queue('crossmark', {
    connection: redis,
    prefix: queueOptions(prefix, 'crossmark').prefix,
  });
});

afterEach(async () => {
  await queue.close();
  redis.disconnect();
});

async function store(option: Record<string, unknown> = {}): Promise<string> {
  const request: EnqueueRequest = {
    redis,
    queue,
    prefix,
    upstream: 'crossmark',
    operation: { name: 'schedule-event', retry: { maxAttempts: 8 } },
    input: { repId: '1' },
    options: callOptions(Date.now() - 10_000).parse(option),
    sealer: { seal: (text) => text, open: (text) => text, keys: [] },
    requestId: 'r1',
  };
  const result = await enqueueCall(request);
  if (result.kind !== 'stored') throw new Error(result.kind);
  return result.id;
}

async function view(id: string) {
  const call = await readCall({ redis, queue, id });
  if (!call) throw new Error('gone');
  return callView({ upstream: 'crossmark', call, holds: [], nowMs: Date.now() });
}

const target = () => ({ redis, queue, root });
const soon = () => new Date(Date.now() + 1).toISOString();
/** Waits until the first deadline has passed. */
const past = async () => {
  const [, due] = await redis.zrange(deadlinesKey(root), 0, '0', 'WITHSCORES');
  await expect.poll(() => Date.now()).toBeGreaterThan(Number(due));
};

describe('cancelling', () => {
  it.each([
    ['waiting', {}],
    ['delayed', { runAt: new Date(Date.now() + 3_600_000).toISOString() }],
  ])('ends a %s call, without an attempt, and tells who waits', async (_where, option) => {
    const id = await store(option);
    expect(await cancelWaiting(target(), id, 'app')).toBe('settled');
    expect(await view(id)).toMatchObject({
      status: 'cancelled',
      attempts: { made: 0 },
      error: { code: 'cancelled', message: 'The call was cancelled by app.' },
      finishedAt: expect.any(String),
    });
    expect(await queue.getJobCounts('waiting', 'prioritized', 'delayed', 'failed')).toEqual({
      waiting: 0,
      prioritized: 0,
      delayed: 0,
      failed: 1,
    });
    const events = await redis.xrevrange(queue.toKey('events'), '+', '-', 'COUNT', 1);
    expect(events[0]?.[1]).toEqual(expect.arrayContaining(['event', 'failed', 'jobId', id]));
    expect(await cancelWaiting(target(), id, 'app')).toBe('finished');
  });

  it('does not change calls that are running, may have been sent or do not exist', async () => {
    const id = await store();
    const running = Promise.withResolvers<void>();
    const worker = new Worker('crossmark', () => running.promise, {
      connection: redis,
      prefix: queueOptions(prefix, 'crossmark').prefix,
    });
    worker.on('error', () => undefined);
    await expect.poll(async () => (await view(id)).status).toBe('running');
    expect(await cancelWaiting(target(), id, undefined)).toBe('running');
    running.resolve();
    await worker.close();
    expect(await cancelWaiting(target(), id, undefined)).toBe('finished');
    const sent = await store();
    const job = await queue.getJob(sent);
    await job?.updateData({ ...(job.data as Envelope), sending: { at: soon(), worker: 'w' } });
    expect(await cancelWaiting(target(), sent, undefined)).toBe('sent');
    // A read-back did not find it, but a late write may still take effect.
    await job?.updateData({ ...(job.data as Envelope), sending: undefined, doubted: { reads: 3 } });
    expect(await cancelWaiting(target(), sent, undefined)).toBe('sent');
    expect(await cancelWaiting(target(), 'crossmark-none', undefined)).toBe('missing');
  });
});

describe('expiring', () => {
  it('expires many calls while the queue is paused, and only those past their deadline', async () => {
    await queue.pause();
    const expiresAt = soon();
    const due = await Promise.all(Array.from({ length: 30 }, () => store({ expiresAt })));
    const later = await store({ expiresAt: new Date(Date.now() + 3_600_000).toISOString() });
    const never = await store();
    await past();
    const first = await expireWaiting(target(), 20);
    const second = await expireWaiting(target(), 20);
    expect([first.expired.length, first.more, second.expired.length, second.more]).toEqual([
      20,
      true,
      10,
      false,
    ]);
    expect(first.expired[0]).toEqual({ id: expect.any(String), operation: 'schedule-event' });
    for (const id of due) expect(await view(id)).toMatchObject({ status: 'expired', attempts: { made: 0 } });
    expect((await view(later)).status).toBe('queued');
    expect((await view(never)).status).toBe('queued');
    expect(await redis.zrange(deadlinesKey(root), 0, '-1')).toEqual([later]);
  });

  it('checks a call that may have been sent again, and drops a finished call', async () => {
    const expiresAt = soon();
    const sent = await store({ expiresAt });
    const done = await store({ expiresAt });
    await cancelWaiting(target(), done, undefined);
    const job = await queue.getJob(sent);
    await job?.updateData({ ...(job.data as Envelope), sending: { at: expiresAt, worker: 'w' } });
    await past();
    expect((await expireWaiting(target(), 10)).expired).toEqual([]);
    expect(await redis.zrange(deadlinesKey(root), 0, '-1')).toEqual([sent]);
    expect(Number(await redis.zscore(deadlinesKey(root), sent))).toBeGreaterThan(Date.now());
  });
});

describe('retrying', () => {
  const retry = (id: string) => retryCall(target(), id, Date.now());

  it('returns a cancelled call to the queue by its priority, once', async () => {
    const id = await store({ priority: 7 });
    await cancelWaiting(target(), id, undefined);
    expect(await Promise.all([retry(id), retry(id)])).toEqual(
      expect.arrayContaining(['waiting', 'unfinished']),
    );
    expect(await view(id)).toMatchObject({ status: 'queued', error: null, finishedAt: null });
    expect(await queue.getJobCounts('prioritized', 'failed')).toEqual({ prioritized: 1, failed: 0 });
    // The earlier verdict does not prevent a new one.
    expect(await cancelWaiting(target(), id, 'second')).toBe('settled');
    expect((await view(id)).error?.message).toContain('second');
  });

  it('outlasts a worker that dies before it takes up the call: a later stall does not restore the verdict', async () => {
    const id = await store();
    await cancelWaiting(target(), id, undefined);
    expect(await retry(id)).toBe('waiting');
    const job = await queue.getJob(id);
    expect(job?.data.settled.stalls).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('removes a deadline that has passed and keeps one that has not', async () => {
    const limit = new Date(Date.now() + 3_600_000).toISOString();
    const [expired, kept] = [await store({ expiresAt: soon() }), await store({ expiresAt: limit })];
    await past();
    await expireWaiting(target(), 10);
    await cancelWaiting(target(), kept, undefined);
    expect([await retry(expired), await retry(kept)]).toEqual(['waiting', 'waiting']);
    expect((await view(expired)).options).not.toHaveProperty('expiresAt');
    expect((await view(kept)).options).toHaveProperty('expiresAt', limit);
    expect((await expireWaiting(target(), 10)).expired).toEqual([]);
  });

  it('never changes a call in doubt', async () => {
    const id = await store();
    await cancelWaiting(target(), id, undefined);
    const job = await queue.getJob(id);
    const settled = { status: 'in_doubt', code: 'x', message: 'y' };
    await job?.updateData({ ...(job.data as Envelope), settled });
    expect(await retry(id)).toBe('in_doubt');
    expect(await queue.getFailedCount()).toBe(1);
  });
});
