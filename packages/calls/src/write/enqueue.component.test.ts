import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { canonicalJson } from '../call/canonical-json.ts';
import { timeOfCallId, upstreamOfCallId } from '../call/id.ts';
import {
  callbacksKey,
  deadlinesKey,
  inDoubtKey,
  queueOptions,
  storedKey,
  upstreamRoot,
} from '../call/keys.ts';
import { parseCallbackHosts } from '../callback/hosts.ts';
import { readQueueDepth } from '../queue/depth.ts';
import { storeJob } from '../queue/store-job.ts';
import { callView, readCall } from '../read/view.ts';
import { type EnqueueRequest, enqueueCall, requestFingerprint } from './enqueue.ts';
import { callOptions } from './options.ts';
import { trimFailed } from './retention.ts';

const hosts = parseCallbackHosts('app.example');
if (!hosts.ok) throw new Error(hosts.problem);
const anyHost = hosts.value;

const sealer = {
  seal: (plain: string) => `s1.${plain}`,
  open: (sealed: string) => sealed.slice(3),
  keys: [],
};

let redis: Redis;
let queue: Queue;
let prefix: string;
let root: string;

beforeEach(async () => {
  redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  await redis.ping();
  prefix = `test-${randomUUID()}`;
  root = upstreamRoot(prefix, 'crossmark');
  const { name, prefix: queuePrefix } = queueOptions(prefix, 'crossmark');
  queue = new Queue(name, { connection: redis, prefix: queuePrefix });
});

afterEach(async () => {
  await queue.close();
  redis.disconnect();
});

function request(more: Partial<EnqueueRequest> & { option?: Record<string, unknown> } = {}): EnqueueRequest {
  const { option, ...rest } = more;
  return {
    redis,
    queue,
    prefix,
    upstream: 'crossmark',
    operation: { name: 'reissue-event', retry: { maxAttempts: 8 }, sealedInput: ['comments'] },
    input: { repId: '1', comments: 'call Ann' },
    options: callOptions(Date.now()).parse(option ?? {}),
    sealer,
    requestId: 'r1',
    ...rest,
  };
}

function withKey(key: string, body: unknown = {}): Partial<EnqueueRequest> {
  return { idempotency: { scope: 'app', key, fingerprint: requestFingerprint('crossmark', 'x', body) } };
}

async function stored(more: Parameters<typeof request>[0] = {}): Promise<string> {
  const result = await enqueueCall(request(more));
  if (result.kind !== 'stored') throw new Error(result.kind);
  return result.id;
}

/** Runs `work` while the command that stores a call fails before it leaves. */
async function whileStoringFails<T>(error: Error, work: () => Promise<T>): Promise<T> {
  const commands = redis as unknown as Record<string, unknown>;
  const name = 'calls:store:addPrioritizedJob';
  const before = commands[name];
  commands[name] = () => Promise.reject(error);
  try {
    return await work();
  } finally {
    if (before === undefined) delete commands[name];
    else commands[name] = before;
  }
}

describe('enqueueCall', () => {
  it('stores the call under an id that names its upstream and time', async () => {
    const askedAt = Date.now();
    const id = await stored();
    const storedAt = Date.now();
    expect(upstreamOfCallId(id, ['walmart-edr', 'crossmark'])).toBe('crossmark');
    expect(timeOfCallId(id)).toBeGreaterThanOrEqual(askedAt);
    expect(timeOfCallId(id)).toBeLessThanOrEqual(storedAt);
    const job = await queue.getJob(id);
    expect(job?.opts).toMatchObject({
      attempts: 8,
      backoff: { type: 'custom' },
      priority: 50,
      removeOnFail: false,
    });
  });

  it('stores personal input only sealed', async () => {
    const id = await stored();
    expect((await queue.getJob(id))?.data.input).toEqual({
      repId: '1',
      comments: { sealed: 's1."call Ann"' },
    });
  });

  it('runs a smaller priority number first', async () => {
    const late = await stored({ option: { priority: 100 } });
    const normal = await stored();
    const first = await stored({ option: { priority: 10 } });
    const positions = await Promise.all(
      [first, normal, late].map(async (id) => (await readCall({ redis, queue, id }))?.placement.position),
    );
    expect(positions).toEqual([1, 2, 3]);
  });

  it('makes one call of 50 concurrent equal requests', async () => {
    const results = await Promise.all(Array.from({ length: 50 }, () => enqueueCall(request(withKey('k')))));
    expect(new Set(results.map((result) => (result.kind === 'stored' ? result.id : result.kind))).size).toBe(
      1,
    );
    expect(results.filter((result) => result.kind === 'stored' && !result.replayed)).toHaveLength(1);
    expect(await queue.getPrioritizedCount()).toBe(1);
  });

  it('refuses a key of another request, and separates the keys of two clients', async () => {
    const id = await stored(withKey('k'));
    expect(await enqueueCall(request(withKey('k', { other: 1 })))).toEqual({ kind: 'key-reused', id });
    const fingerprint = requestFingerprint('crossmark', 'x', { other: 1 });
    const other = await enqueueCall(request({ idempotency: { scope: 'another', key: 'k', fingerprint } }));
    expect(other).toMatchObject({ kind: 'stored', replayed: false });
  });

  it('stores the call if the first writer died before it did', async () => {
    const lost = await whileStoringFails(new Error('Command timed out'), () =>
      enqueueCall(request(withKey('k'))),
    );
    expect(lost).toMatchObject({ kind: 'unknown' });
    const again = await enqueueCall(request(withKey('k')));
    expect(again).toMatchObject({ kind: 'stored', replayed: true, id: lost.kind === 'unknown' && lost.id });
    expect(await queue.getPrioritizedCount()).toBe(1);
  });

  it('never repeats a call that was finished and trimmed', async () => {
    const id = await stored(withKey('k'));
    await queue.remove(id);
    expect(await enqueueCall(request(withKey('k')))).toEqual({ kind: 'stored', id, replayed: true });
    expect(await queue.getPrioritizedCount()).toBe(0);
  });

  it.each([{}, { runAt: new Date(Date.now() + 60_000).toISOString() }])(
    'never runs a call again that was trimmed before anybody noted that it is stored: %j',
    async (option) => {
      const id = await stored({ ...withKey('k'), option });
      const [recordKey = ''] = await redis.keys(`${prefix}:idempotency:*`);
      const unmarked = async () => {
        const record = JSON.parse((await redis.get(recordKey)) ?? '');
        await redis.set(recordKey, JSON.stringify({ ...record, state: 'new' }));
      };
      await expect.poll(() => redis.get(recordKey)).toContain('"stored"');
      await unmarked();
      await queue.remove(id);
      expect(await enqueueCall(request({ ...withKey('k'), option }))).toMatchObject({ id, replayed: true });
      expect(await queue.getJobCounts('prioritized', 'delayed')).toEqual({ prioritized: 0, delayed: 0 });
    },
  );

  it('remembers that a write was stored, so that a repeated command cannot add it again after it was trimmed', async () => {
    const operation = { name: 'write', retry: { maxAttempts: 8 }, effect: 'unsafe' };
    const id = await stored({ operation });
    const { data } = (await queue.getJob(id)) ?? {};
    await queue.remove(id);
    const again = await storeJob({
      redis,
      queue,
      root,
      id,
      envelope: data,
      options: { jobId: id, priority: 1 },
    });
    expect(again.kind).toBe('present');
    expect(await queue.getJobCountByTypes()).toBe(0);
    expect(
      await redis.exists(storedKey(root, await stored({ operation: { ...operation, effect: 'read' } }))),
    ).toBe(0);
  });

  it('stores the callback entry and the deadline with the call', async () => {
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const options = callOptions(Date.now(), anyHost).parse({
      expiresAt,
      callback: { url: 'https://app.example/done' },
    });
    const id = await stored({ options });
    expect(await redis.zscore(deadlinesKey(root), id)).toBe(String(Date.parse(expiresAt)));
    expect(await redis.zscore(callbacksKey(root), id)).toBe('0');
  });

  it('does not resume an old record that was never confirmed', async () => {
    await stored(withKey('k'));
    const [recordKey] = await redis.keys(`${prefix}:idempotency:*`);
    const record = JSON.parse((await redis.get(recordKey ?? '')) ?? '');
    const old = `crossmark-${(Date.now() - 3_600_000)
      .toString(16)
      .padStart(12, '0')
      .replace(/^(.{8})/, '$1-')}-7000-8000-000000000000`;
    await redis.set(recordKey ?? '', JSON.stringify({ ...record, id: old, state: 'new' }));
    expect(await enqueueCall(request(withKey('k')))).toEqual({ kind: 'unresolved', id: old });
  });

  it('returns refused only if nothing can have been stored', async () => {
    const storing = (error: Error) => whileStoringFails(error, () => enqueueCall(request()));
    const oom = Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError' });
    expect(await storing(oom)).toMatchObject({ kind: 'refused' });
    expect(await storing(new Error('Connection is closed.'))).toMatchObject({ kind: 'unknown' });
  });
});

describe('canonicalJson', () => {
  it('does not depend on the order of fields', () => {
    expect(canonicalJson({ b: [1, { d: 1, c: 2 }], a: null })).toBe(
      canonicalJson({ a: null, b: [1, { c: 2, d: 1 }] }),
    );
    expect(canonicalJson({ a: '1' })).not.toBe(canonicalJson({ a: 1 }));
  });
});

describe('readQueueDepth', () => {
  it('counts what waits, is delayed, overdue and in doubt', async () => {
    await stored();
    await stored({ option: { priority: 3 } });
    await stored({ option: { runAt: new Date(Date.now() + 60_000).toISOString() } });
    const overdue = await stored({ option: { runAt: new Date(Date.now() + 60_000).toISOString() } });
    const dueAt = Date.now() - 3_600_000;
    await redis.zadd(queue.toKey('delayed'), dueAt * 4096, overdue);
    await redis.zadd(queue.toKey('failed'), 1, 'a', 2, 'b', 3, 'c');
    await redis.zadd(inDoubtKey(root), 1, 'a');
    const depth = await readQueueDepth({ redis, queue, root });
    expect(depth).toMatchObject({ waiting: 2, delayed: 2, overdue: 1, active: 0, failed: 2, inDoubt: 1 });
    expect(depth.oldestWaitingSeconds).toBeGreaterThanOrEqual(3_599);
    expect(depth.oldestWaitingSeconds).toBeLessThanOrEqual((Date.now() - dueAt) / 1000 + 1);
  });

  it('reads an empty queue', async () => {
    expect(await readQueueDepth({ redis, queue, root })).toEqual({
      waiting: 0,
      delayed: 0,
      overdue: 0,
      active: 0,
      failed: 0,
      inDoubt: 0,
      oldestWaitingSeconds: null,
    });
  });
});

describe('trimFailed', () => {
  it('removes old and surplus failures, never a call in doubt', async () => {
    const ids: string[] = [];
    for (let index = 0; index < 6; index += 1) ids.push(await stored({ option: { priority: index + 1 } }));
    const worker = new Worker(
      'crossmark',
      () => {
        throw new Error('no');
      },
      {
        connection: redis,
        prefix: root,
        settings: { backoffStrategy: () => -1 },
      },
    );
    await expect.poll(() => queue.getFailedCount()).toBe(6);
    await worker.close();
    const [doubtful = '', marked = ''] = ids;
    await redis.zadd(inDoubtKey(root), Date.now(), doubtful);
    const job = await queue.getJob(marked);
    await job?.updateData({ ...job.data, sending: { at: new Date().toISOString(), worker: 'w' } });
    const trim = (maxAgeMs: number, maxCount: number) =>
      trimFailed({ redis, queue, root, maxAgeMs, maxCount });
    expect(await trim(60_000, 6)).toEqual({ removed: 0 });
    expect(await trim(60_000, 5)).toEqual({ removed: 0 });
    expect(await trim(60_000, 3)).toEqual({ removed: 1 });
    expect(await trim(-60_000, 50)).toEqual({ removed: 3 });
    expect((await queue.getFailed()).map((kept) => kept.id).sort()).toEqual([doubtful, marked].sort());
  });
});

describe('callView', () => {
  it('shows every field of an accepted call', async () => {
    const id = await stored({ submittedBy: 'app' });
    const call = await readCall({ redis, queue, id });
    if (!call) throw new Error('not stored');
    const view = callView({ upstream: 'crossmark', call, holds: [], nowMs: Date.now(), sealer });
    expect(view).toEqual({
      id,
      upstream: 'crossmark',
      operation: 'reissue-event',
      status: 'queued',
      input: { repId: '1', comments: '[sealed]' },
      options: { ifOpen: 'defer', priority: 50, maxAttempts: 8 },
      createdAt: expect.stringMatching(/Z$/),
      startedAt: null,
      finishedAt: null,
      attempts: { made: 0, max: 8, deferrals: 0, stalls: 0 },
      history: [],
      nextAttemptAt: null,
      holds: [],
      position: 1,
      estimate: {
        reason: 'The call is next in the queue.',
        nextProbeAt: null,
        position: 1,
        finishBetween: null,
      },
      result: null,
      error: null,
      links: { self: `/v1/calls/${id}`, upstream: '/v1/upstreams/crossmark' },
    });
  });

  it('opens a sealed result and adds the successful attempt', async () => {
    const attempt = {
      at: '2026-01-01T00:00:00.000Z',
      durationMs: 5,
      outcome: 'done',
      status: 200,
      code: null,
      message: null,
      worker: 'w',
    };
    const worker = new Worker('crossmark', async () => ({ result: { sealed: 's1.{"reps":[]}' }, attempt }), {
      connection: redis,
      prefix: root,
    });
    const id = await stored();
    await expect.poll(async () => (await readCall({ redis, queue, id }))?.placement.state).toBe('completed');
    await worker.close();
    const call = await readCall({ redis, queue, id });
    if (!call) throw new Error('not stored');
    const view = callView({ upstream: 'crossmark', call, holds: [], nowMs: Date.now(), sealer });
    expect(view).toMatchObject({
      status: 'succeeded',
      result: { reps: [] },
      history: [attempt],
      startedAt: attempt.at,
      attempts: { made: 1 },
      error: null,
    });
    expect(view.finishedAt).toMatch(/Z$/);
  });
});
