import { randomUUID } from 'node:crypto';
import { type Job, Queue, QueueEvents, UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import type { Envelope } from '../call/envelope.ts';
import { newCallId } from '../call/id.ts';
import { deadlinesKey, inDoubtKey, queueOptions, upstreamRoot } from '../call/keys.ts';
import { callView, readCall } from '../read/view.ts';
import { listInDoubt, resend, settleAsDone } from './in-doubt.ts';

const decision = { by: 'ada', reason: 'seen in the plan', nowMs: Date.parse('2027-01-05T10:00:00Z') };
const settled = { status: 'in_doubt', code: 'timeout', message: 'No answer.', stalls: 0 } as const;

/** A queue with a worker that runs `process`. */
async function setup(process: (job: Job<Envelope>) => Promise<unknown> = async () => ({})) {
  const redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  const prefix = `test-${randomUUID()}`;
  const { name, ...where } = queueOptions(prefix, 'testing');
  const root = upstreamRoot(prefix, 'testing');
  const queue = new Queue<Envelope>(name, { ...where, connection: redis });
  const events = new QueueEvents(name, { ...where, connection: redis.duplicate() });
  await events.waitUntilReady();
  const worker = new Worker<Envelope>(name, process, { ...where, connection: redis, autorun: false });
  onTestFinished(async () => {
    await Promise.all([worker.close(), events.close(), queue.close()]);
    redis.disconnect();
  });
  const target = { redis, queue, root };
  return { redis, root, queue, events, worker, target };
}

type Setup = Awaited<ReturnType<typeof setup>>;

/** A call that a worker has left in doubt. */
async function doubtful(
  { redis, root, queue, worker }: Setup,
  change: Partial<Envelope> = {},
  jobOptions: { priority?: number; attempts?: number } = {},
): Promise<string> {
  const id = newCallId('testing');
  const envelope: Envelope = {
    v: 1,
    operation: 'write',
    input: { a: '1' },
    options: { ifOpen: 'defer', priority: 50, maxAttempts: 3 },
    createdAt: new Date().toISOString(),
    requestId: 'r1',
    deferrals: 0,
    trials: 0,
    history: [],
    sending: { at: new Date().toISOString(), worker: 'w1' },
    settled,
    ...change,
  };
  await queue.add('write', envelope, { jobId: id, attempts: 3, ...jobOptions });
  await redis.zadd(inDoubtKey(root), Date.now(), id);
  const job = await worker.getNextJob('token');
  await job?.moveToFailed(new UnrecoverableError('timeout: No answer.'), 'token', false);
  return id;
}

async function view({ redis, queue }: Setup, id: string) {
  const call = await readCall({ redis, queue, id });
  if (!call) throw new Error('no such call');
  return callView({ upstream: 'testing', call, holds: [], nowMs: Date.now() });
}

describe('settled as done', () => {
  test('succeeds immediately, with a paused queue and without a worker, and is in events and history', async () => {
    const made = await setup();
    const id = await doubtful(made);
    expect(await view(made, id)).toMatchObject({ status: 'in_doubt', attempts: { made: 1 } });
    await made.queue.pause();
    const completed = new Promise((resolve) => made.events.once('completed', resolve));
    expect(await settleAsDone(made.target, id, { ...decision, result: { id: '77' } })).toBe('settled');
    const call = await view(made, id);
    expect(call).toMatchObject({ status: 'succeeded', result: { id: '77' }, error: null });
    expect(call.attempts).toMatchObject({ made: 1, max: 3 });
    expect(call.history.at(-1)).toMatchObject({ outcome: 'done', code: 'settled_as_done', worker: 'admin' });
    expect(await completed).toMatchObject({ jobId: id, prev: 'failed' });
    expect(await made.queue.getJobCounts('failed', 'completed', 'wait')).toEqual({
      failed: 0,
      completed: 1,
      wait: 0,
    });
    expect(await made.redis.zcard(inDoubtKey(made.root))).toBe(0);
    const job = await made.queue.getJob(id);
    expect(job?.data.decidedBy).toMatchObject({ by: 'ada', action: 'done', reason: 'seen in the plan' });
    expect(job?.failedReason).toBeUndefined();
    expect(await job?.getState()).toBe('completed');
  });
});

describe('sent again', () => {
  test.each([0, 7])(
    'it waits for its next attempt, unmarked (priority %i); the count goes on',
    async (priority) => {
      const ran: Job<Envelope>[] = [];
      const made = await setup(async (job) => {
        ran.push(job);
        return { result: {}, attempt: { ...job.data.history[0], outcome: 'done' } };
      });
      const id = await doubtful(made, {}, { priority });
      expect(await resend(made.target, id, decision)).toBe('settled');
      expect(await view(made, id)).toMatchObject({ status: 'queued', finishedAt: null, error: null });
      void made.worker.run();
      await expect.poll(async () => (await view(made, id)).status).toBe('succeeded');
      expect(ran).toHaveLength(1);
      expect(ran[0]?.data).toMatchObject({ decidedBy: { by: 'ada', action: 'resend' } });
      expect(ran[0]?.data.sending).toBeUndefined();
      expect(ran[0]?.data.settled).toBeUndefined();
      expect((await view(made, id)).attempts.made).toBe(2);
      expect((await view(made, id)).history[0]).toMatchObject({ outcome: 'resent', worker: 'admin' });
      expect(await made.redis.zcard(inDoubtKey(made.root))).toBe(0);
    },
  );

  test('wakes an idle worker; waits in a paused queue', async () => {
    const made = await setup(async () => ({}));
    const [first, second] = [await doubtful(made), await doubtful(made)];
    const marker = made.queue.toKey('marker');
    await made.redis.del(marker);
    await resend(made.target, first, decision);
    expect(await made.redis.exists(marker)).toBe(1);
    void made.worker.run();
    await expect.poll(() => made.queue.getCompletedCount()).toBe(1);
    await made.queue.pause();
    await resend(made.target, second, decision);
    expect(await made.queue.getWaitingCount()).toBe(1);
    await made.queue.resume();
    await expect.poll(() => made.queue.getCompletedCount()).toBe(2);
  });

  test('removes a deadline in the past and restores one in the future', async () => {
    const made = await setup();
    const options = { ifOpen: 'defer', priority: 50, maxAttempts: 3 };
    const past = await doubtful(made, { options: { ...options, expiresAt: '2027-01-01T00:00:00Z' } });
    const future = await doubtful(made, { options: { ...options, expiresAt: '2027-02-01T00:00:00Z' } });
    for (const id of [past, future]) expect(await resend(made.target, id, decision)).toBe('settled');
    expect((await made.queue.getJob(past))?.data.options).toEqual(options);
    expect((await made.queue.getJob(future))?.data.options.expiresAt).toBe('2027-02-01T00:00:00Z');
    expect(await made.redis.zrange(deadlinesKey(made.root), '0', '-1')).toEqual([future]);
  });
});

describe('concurrent decisions', () => {
  test('of many concurrent decisions exactly one wins', async () => {
    const made = await setup();
    for (let round = 0; round < 20; round += 1) {
      const id = await doubtful(made);
      const ends = await Promise.all([
        resend(made.target, id, decision),
        settleAsDone(made.target, id, { ...decision, result: {} }),
        resend(made.target, id, decision),
        settleAsDone(made.target, id, { ...decision, result: {} }),
      ]);
      expect(ends.filter((end) => end === 'settled')).toHaveLength(1);
      expect(ends.filter((end) => end === 'changed' || end === 'not_in_doubt')).toHaveLength(3);
      await made.queue.drain();
    }
  });

  test('changes only calls in doubt', async () => {
    const made = await setup();
    const failed = await doubtful(made, { settled: { ...settled, status: 'failed' } });
    const waiting = newCallId('testing');
    await made.queue.add('write', (await made.queue.getJob(failed))?.data as Envelope, { jobId: waiting });
    for (const [id, end] of [
      [failed, 'not_in_doubt'],
      [waiting, 'not_in_doubt'],
      [newCallId('testing'), 'missing'],
    ] as const) {
      expect(await resend(made.target, id, decision)).toBe(end);
      expect(await settleAsDone(made.target, id, { ...decision, result: {} })).toBe(end);
    }
    expect((await view(made, failed)).status).toBe('failed');
    expect((await view(made, waiting)).status).toBe('queued');
  });

  test('a call whose worker died between mark and verdict is in doubt too', async () => {
    const made = await setup();
    const id = await doubtful(made, { settled: undefined } as Partial<Envelope>);
    expect(await settleAsDone(made.target, id, { ...decision, result: {} })).toBe('settled');
  });
});

test('the list has the calls still in doubt, oldest first', async () => {
  const made = await setup();
  const ids = [await doubtful(made), await doubtful(made), await doubtful(made)];
  await made.redis.zadd(inDoubtKey(made.root), 1, ids[2] ?? '');
  await made.redis.zadd(inDoubtKey(made.root), 2, newCallId('testing'));
  const { total, calls } = await listInDoubt(made.target, 10);
  expect(calls.map(({ id }) => id)).toEqual([ids[2], ids[0], ids[1]]);
  expect(calls[0]?.sinceMs).toBe(1);
  expect(total).toBe(3);
  expect((await listInDoubt(made.target, 1)).total).toBe(4);
});
