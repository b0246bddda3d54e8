/** BullMQ's behavior that we rely on: pause, retry, add, resume and count lose no job and charge no attempt. */
import { randomUUID } from 'node:crypto';
import { DelayedError, type Job, Queue, WaitingError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, expect, inject, test, vi } from 'vitest';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function connect(): Redis {
  const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  stops.push(async () => redis.disconnect());
  return redis;
}

type Step = (job: Job, token: string) => Promise<unknown>;

function setup(process: Step, { workers = 1, concurrency = 10 } = {}) {
  const prefix = `test-${randomUUID()}:{up}`;
  const queue = new Queue('up', { connection: connect(), prefix });
  stops.push(() => queue.close());
  const all = Array.from({ length: workers }, () => {
    const worker = new Worker('up', (job, token) => process(job, token ?? ''), {
      connection: connect(),
      prefix,
      concurrency,
      drainDelay: 1,
      settings: { backoffStrategy: () => 30 },
    });
    worker.on('error', () => {});
    stops.push(() => worker.close());
    return worker;
  });
  return { queue, workers: all };
}

const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 50_000, interval: 20 });
const opts = { attempts: 5, backoff: { type: 'custom' } };

test('pause, fail, retry, add, resume: every job completes once', async () => {
  let broken = true;
  const ran: string[] = [];
  const { queue } = setup(async (job) => {
    if (broken) throw new Error('broken');
    ran.push(job.id as string);
  });
  await queue.addBulk(
    Array.from({ length: 30 }, () => ({ name: 'call', data: {}, opts: { ...opts, attempts: 1 } })),
  );
  await until(async () => expect(await queue.getFailedCount()).toBe(30));
  await queue.pause();
  broken = false;
  for (const job of await queue.getFailed(0, 9)) await job.retry('failed');
  await queue.retryJobs({ state: 'failed' });
  await queue.addBulk(
    Array.from({ length: 20 }, (_, i) => ({
      name: 'call',
      data: {},
      opts: { ...opts, priority: i % 2 ? 5 : undefined },
    })),
  );
  await queue.addBulk(
    Array.from({ length: 10 }, () => ({ name: 'call', data: {}, opts: { ...opts, delay: 20 } })),
  );
  const counts = await queue.getJobCounts('wait', 'prioritized', 'delayed', 'active', 'failed');
  expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(60);
  expect(ran).toEqual([]);
  await queue.resume();
  await until(async () => expect(await queue.getCompletedCount()).toBe(60));
  expect(new Set(ran).size).toBe(60);
  expect(ran).toHaveLength(60);
});

test.each([
  [
    'moveToWait',
    async (job: Job, token: string) => {
      await job.moveToWait(token);
      throw new WaitingError();
    },
  ],
  [
    'moveToDelayed',
    async (job: Job, token: string) => {
      await job.moveToDelayed(Date.now() + 5, token);
      throw new DelayedError();
    },
  ],
])('%s charges no attempt', async (_name, handBack) => {
  const turns = new Map<string, number>();
  const { queue } = setup(async (job, token) => {
    const turn = (turns.get(job.id as string) ?? 0) + 1;
    turns.set(job.id as string, turn);
    if (turn <= 3) await handBack(job, token);
  });
  await queue.addBulk(
    Array.from({ length: 10 }, () => ({ name: 'call', data: {}, opts: { ...opts, attempts: 1 } })),
  );
  await until(async () => expect(await queue.getCompletedCount()).toBe(10));
  for (const job of await queue.getCompleted())
    expect(job).toMatchObject({ attemptsMade: 1, attemptsStarted: 4 });
});

test('after a pause is acknowledged no job is fetched, and running jobs continue', async () => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  let started = 0;
  const { queue } = setup(
    async () => {
      started += 1;
      await gate;
    },
    { workers: 2, concurrency: 2 },
  );
  await queue.addBulk(Array.from({ length: 20 }, () => ({ name: 'call', data: {}, opts })));
  await until(() => expect(started).toBe(4));
  await queue.pause();
  release();
  await until(async () => expect(await queue.getCompletedCount()).toBe(4));
  // BullMQ fetches the next job in the script that completes a job.
  expect(await queue.getJobCounts('active', 'wait')).toEqual({ active: 0, wait: 16 });
  expect(started).toBe(4);
  expect(await queue.isPaused()).toBe(true);
  await queue.resume();
  await until(async () => expect(await queue.getCompletedCount()).toBe(20));
});

test('global concurrency limits the whole fleet and can be raised and removed at run time', async () => {
  let inFlight = 0;
  let most = 0;
  const open: (() => void)[] = [];
  const finishAll = () => {
    for (const finish of open.splice(0)) finish();
  };
  const { queue } = setup(
    async () => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise<void>((resolve) => open.push(resolve));
      inFlight -= 1;
    },
    { workers: 3, concurrency: 10 },
  );
  await queue.pause();
  await queue.setGlobalConcurrency(1);
  await queue.addBulk(Array.from({ length: 60 }, () => ({ name: 'call', data: {}, opts })));
  await queue.resume();
  await until(() => expect(inFlight).toBe(1));
  await queue.setGlobalConcurrency(4);
  finishAll();
  await until(() => expect(inFlight).toBe(4));
  expect(most).toBe(4);
  await queue.removeGlobalConcurrency();
  finishAll();
  // No job ends meanwhile, so that more than four are seen at once on a slow machine.
  await until(() => expect(inFlight).toBeGreaterThan(4));
  const pump = setInterval(finishAll, 20);
  stops.push(async () => clearInterval(pump));
  await until(async () => expect(await queue.getCompletedCount()).toBe(60));
});

test('a job id is stored once, however often it is added', async () => {
  const { queue } = setup(async () => {});
  await queue.pause();
  await Promise.all(Array.from({ length: 20 }, () => queue.add('call', {}, { ...opts, jobId: 'call-1' })));
  expect(await queue.getWaitingCount()).toBe(1);
});
