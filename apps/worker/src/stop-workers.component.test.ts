import type { Outcome } from '@recloser/upstreams/contract/upstream';
import { describe, expect, test } from 'vitest';
import { createKit, done, outcome, ScriptedClient } from '../test-kit/kit.ts';
import { stopWorkers } from './create-workers.ts';

/** Runs until the attempt is aborted, as a real client does. */
const untilAborted =
  (after: Outcome, send: boolean): ScriptedClient['onRun'] =>
  async (_operation, _input, context) => {
    if (send) await context.onSending();
    await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
    return after;
  };

describe('a graceful stop', () => {
  test('lets running calls finish and fetches nothing new', async () => {
    await using kit = await createKit({ concurrency: 1 });
    const client = new ScriptedClient();
    const release = Promise.withResolvers<void>();
    client.onRun = async () => {
      await release.promise;
      return done;
    };
    const { worker, stop } = await kit.worker(client);
    const running = await kit.post('read');
    await kit.until(running, 'running');
    const waiting = await kit.post('read');
    const stopped = stopWorkers([worker], { stop, deadlineMs: 60_000, log: kit.log });
    await expect.poll(() => stop.quiet).toBe(true);
    release.resolve();
    await stopped;
    expect((await kit.view(running)).status).toBe('succeeded');
    expect((await kit.view(waiting)).status).toBe('queued');
    expect(client.asked).toHaveLength(1);
  });

  test('gives back a call that does not finish in time, uncharged; another worker makes it', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = untilAborted(outcome('retry', { health: 'unknown' }), false);
    const { worker, stop } = await kit.worker(client);
    const id = await kit.post('read');
    await kit.until(id, 'running');
    await stopWorkers([worker], { stop, deadlineMs: 30, log: kit.log });
    const given = await kit.view(id);
    expect(given).toMatchObject({ status: 'queued', attempts: { made: 0, deferrals: 1, stalls: 0 } });
    await kit.worker(new ScriptedClient());
    expect((await kit.until(id, 'succeeded')).attempts.made).toBe(1);
  });

  test('a write that was sent keeps its mark and is read back by the next worker', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = untilAborted({ ...outcome('in_doubt'), health: 'unknown' }, true);
    const { worker, stop } = await kit.worker(client);
    const id = await kit.post('write');
    await kit.until(id, 'running');
    await expect.poll(async () => (await kit.queue.getJob(id))?.data.sending).toBeDefined();
    await stopWorkers([worker], { stop, deadlineMs: 30, log: kit.log });
    const next = new ScriptedClient();
    next.onVerify = async () => ({ kind: 'applied', health: 'up', result: {} });
    await kit.worker(next);
    await kit.until(id, 'succeeded');
    expect(next.asked).toEqual(['verify write']);
  });

  test('a write that was certainly not sent loses its mark and is made again', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = untilAborted(outcome('retry', { health: 'unknown' }), true);
    const { worker, stop } = await kit.worker(client);
    const id = await kit.post('notify');
    await expect.poll(async () => (await kit.queue.getJob(id))?.data.sending).toBeDefined();
    await stopWorkers([worker], { stop, deadlineMs: 30, log: kit.log });
    const next = new ScriptedClient();
    await kit.worker(next);
    await kit.until(id, 'succeeded');
    expect(next.asked).toEqual(['notify']);
  });

  test('an answer that arrives while stopping counts', async () => {
    await using kit = await createKit();
    const client = new ScriptedClient();
    client.onRun = untilAborted(done, true);
    const { worker, stop } = await kit.worker(client);
    const id = await kit.post('write');
    await expect.poll(async () => (await kit.queue.getJob(id))?.data.sending).toBeDefined();
    await stopWorkers([worker], { stop, deadlineMs: 30, log: kit.log });
    expect((await kit.view(id)).status).toBe('succeeded');
  });
});

test('an attempt that is aborted before its mark is stored leaves no mark and is not sent', async () => {
  await using kit = await createKit();
  const client = new ScriptedClient();
  const begun = Promise.withResolvers<void>();
  const seen: { refused: boolean; marked: unknown }[] = [];
  client.onRun = async (_operation, _input, context) => {
    const stopped = new Promise((resolve) => context.signal.addEventListener('abort', resolve));
    begun.resolve();
    await stopped;
    const refused = await context.onSending().then(
      () => false,
      () => true,
    );
    const [job] = await kit.queue.getActive();
    seen.push({ refused, marked: job?.data.sending });
    context.signal.throwIfAborted();
    return done;
  };
  const { worker, stop } = await kit.worker(client);
  const id = await kit.post('write');
  await begun.promise;
  await stopWorkers([worker], { stop, deadlineMs: 0, log: kit.log });
  expect(seen).toEqual([{ refused: true, marked: undefined }]);
  const next = new ScriptedClient();
  await kit.worker(next);
  expect((await kit.until(id, 'succeeded')).attempts.made).toBe(1);
  expect(next.asked).toEqual(['write']);
});

describe('a lost worker', () => {
  test('its call counts a stall and is made by another worker', async () => {
    await using kit = await createKit();
    const id = await kit.post('read');
    // As after a killed worker: the call is in `active`, twice, without a lock.
    const job = await kit.queue.getJob(id);
    await job?.updateData(job.data);
    for (let crash = 1; crash <= 3; crash += 1) {
      await kit.redis.zrem(kit.queue.toKey('prioritized'), id);
      await kit.redis.lrem(kit.queue.toKey('wait'), 0, id);
      await kit.redis.lpush(kit.queue.toKey('active'), id);
      if (crash < 3) await kit.redis.hincrby(kit.queue.toKey(id), 'stc', 1);
    }
    await kit.redis.ltrim(kit.queue.toKey('active'), 0, 0);
    const client = new ScriptedClient();
    await kit.worker(client);
    const call = await kit.until(id, 'succeeded');
    expect(call.attempts).toEqual({ made: 1, max: 3, deferrals: 0, stalls: 3 });
    expect(client.asked).toEqual(['read']);
  });

  test.each([
    ['unsent', undefined, 'failed'],
    ['sent', { at: '2027-01-01T00:00:00.000Z', worker: 'dead' }, 'in_doubt'],
  ] as const)('a call that crashes every worker ends automatically: %s', async (_what, sending, status) => {
    await using kit = await createKit();
    const id = await kit.post('write');
    const job = await kit.queue.getJob(id);
    await job?.updateData({ ...job.data, seenStalls: 7, ...(sending && { sending }) });
    await kit.redis.hset(kit.queue.toKey(id), 'stc', 12);
    const client = new ScriptedClient();
    await kit.worker(client);
    const call = await kit.until(id, status);
    expect(call.error).toMatchObject({ code: 'workers_lost', message: expect.stringContaining('5 workers') });
    expect(call.attempts.stalls).toBe(12);
    expect(client.asked).toEqual([]);
  });

  test('workers lost before the last progress do not count', async () => {
    await using kit = await createKit();
    const id = await kit.post('read');
    const job = await kit.queue.getJob(id);
    await job?.updateData({ ...job.data, seenStalls: 8 });
    await kit.redis.hset(kit.queue.toKey(id), 'stc', 12);
    await kit.worker(new ScriptedClient());
    expect((await kit.until(id, 'succeeded')).attempts.made).toBe(1);
  });

  test('a call that lost its worker more than once runs alone', async () => {
    await using kit = await createKit({ concurrency: 5 });
    const ids: string[] = [];
    for (let count = 0; count < 10; count += 1) ids.push(await kit.post('read'));
    const suspect = ids[4] as string;
    await kit.redis.hset(kit.queue.toKey(suspect), 'stc', 2);
    const client = new ScriptedClient();
    let inside = 0;
    const company: number[] = [];
    client.onRun = async (_operation, input) => {
      inside += 1;
      await new Promise((resolve) => setImmediate(resolve));
      if ((input as { suspect?: boolean }).suspect) company.push(inside);
      inside -= 1;
      return done;
    };
    const job = await kit.queue.getJob(suspect);
    await job?.updateData({ ...job.data, input: { suspect: true } });
    await kit.worker(client);
    for (const id of ids) expect((await kit.until(id, 'succeeded')).attempts.made).toBe(1);
    expect(company).toEqual([1]);
  });

  test('a verdict stored right before the crash stands', async () => {
    await using kit = await createKit();
    const id = await kit.post('read');
    const job = await kit.queue.getJob(id);
    const settled = { status: 'failed', code: 'bad_request', message: 'No.', stalls: 0 };
    await job?.updateData({ ...job.data, settled });
    await kit.redis.zrem(kit.queue.toKey('prioritized'), id);
    await kit.redis.lpush(kit.queue.toKey('active'), id);
    const client = new ScriptedClient();
    await kit.worker(client);
    const call = await kit.until(id, 'failed');
    expect(call.error?.code).toBe('bad_request');
    expect(client.asked).toEqual([]);
  });
});
