import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { queueOptions, upstreamRoot, wishesDueKey, wishesKey } from '../call/keys.ts';
import { findSameWish } from '../queue/store-job.ts';
import { type EnqueueRequest, enqueueCall, requestFingerprint } from './enqueue.ts';
import { callOptions } from './options.ts';
import { retryCall } from './retry-call.ts';
import { wishDigest, withDuplicateWindow } from './same-wish.ts';
import { cancelWaiting } from './settle-waiting.ts';

const sealer = {
  seal: (plain: string) => `s1.${plain}`,
  open: (sealed: string) => sealed.slice(3),
  keys: [],
};
const hour = 3_600;
/** A window that ends before the next command. */
const over = 1e-9;

let redis: Redis;
beforeAll(async () => {
  redis = new Redis(inject('redisUrl'), { maxRetriesPerRequest: null });
  await redis.ping();
});
afterAll(() => redis.disconnect());

/** A fresh upstream. */
function setup() {
  const prefix = `test-${randomUUID()}`;
  const root = upstreamRoot(prefix, 'crossmark');
  const { name, ...where } = queueOptions(prefix, 'crossmark');
  const queue = new Queue(name, { ...where, connection: redis, skipVersionCheck: true });
  const target = { redis, queue, root };
  const submit = async (
    input: Readonly<Record<string, unknown>>,
    more: {
      client?: string;
      window?: number;
      key?: string;
      allowDuplicate?: boolean;
      runAt?: string;
    } = {},
  ) => {
    const { client = 'app', window = hour, key, ...option } = more;
    const request: EnqueueRequest = {
      ...{ redis, queue, prefix, upstream: 'crossmark', input, sealer, requestId: 'r', submittedBy: client },
      operation: { name: 'schedule-event', retry: { maxAttempts: 8 }, duplicateWindowSeconds: window },
      options: callOptions(Date.now()).parse(option),
      ...(key !== undefined && {
        idempotency: { scope: client, key, fingerprint: requestFingerprint('crossmark', 'x', input) },
      }),
    };
    const result = await enqueueCall(request);
    if (result.kind !== 'stored')
      throw new Error(JSON.stringify(result), { cause: 'error' in result && result.error });
    return result;
  };
  /** Moves a waiting call to where BullMQ keeps the ended ones. */
  const end = async (id: string, where: 'completed' | 'failed', settled?: Record<string, unknown>) => {
    await redis.zrem(queue.toKey('prioritized'), id);
    const data = JSON.parse((await redis.hget(queue.toKey(id), 'data')) ?? '{}');
    await redis.hset(queue.toKey(id), 'data', JSON.stringify({ ...data, settled }));
    await redis.zadd(queue.toKey(where), Date.now(), id);
  };
  return { ...target, target, submit, end };
}

describe('the same wish', () => {
  test('one of 50 concurrent equal posts is stored', async () => {
    const { submit, queue } = setup();
    const results = await Promise.all(Array.from({ length: 50 }, () => submit({ a: '1' })));
    expect(new Set(results.map(({ id }) => id)).size).toBe(1);
    expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(await queue.getPrioritizedCount()).toBe(1);
  });

  test('the order of fields does not matter; application, input and operation do', async () => {
    const { submit } = setup();
    const { id } = await submit({ a: '1', b: '2' });
    expect(await submit({ b: '2', a: '1' })).toMatchObject({ id, replayed: true });
    const others = [await submit({ a: '1', b: '3' }), await submit({ a: '1', b: '2' }, { client: 'other' })];
    for (const other of others) expect(other).toMatchObject({ replayed: false });
    const wish = { submittedBy: 'app', upstream: 'crossmark', operation: 'x', input: { a: '1' } };
    expect(wishDigest(wish)).not.toBe(wishDigest({ ...wish, operation: 'y' }));
    expect(wishDigest(wish)).not.toBe(wishDigest({ ...wish, upstream: 'walmart-edr' }));
  });

  test('a scheduled call is found, and a call that was not stored leaves no entry', async () => {
    const { submit, queue } = setup();
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const { id } = await submit({ a: '1' }, { runAt, window: over });
    expect(await submit({ a: '1' }, { window: over })).toEqual({ kind: 'stored', id, replayed: true });
    expect(await queue.getJobCounts('prioritized', 'delayed')).toEqual({ prioritized: 0, delayed: 1 });
  });

  test('without a window there are no entries and equal posts are different calls', async () => {
    const { submit, root } = setup();
    const [one, other] = [await submit({ a: '1' }, { window: 0 }), await submit({ a: '1' }, { window: 0 })];
    expect(one.id).not.toBe(other.id);
    expect(await redis.exists(wishesKey(root), wishesDueKey(root))).toBe(0);
  });

  test('Redis does not contain the input', async () => {
    const { submit, root } = setup();
    await submit({ comments: 'ann.miller' });
    const noted = JSON.stringify([await redis.hgetall(wishesKey(root)), await redis.keys(`${root}*`)]);
    expect(noted).not.toContain('miller');
  });

  test('later posts remove entries that are no longer needed', async () => {
    const { submit, end, queue, root } = setup();
    for (let n = 0; n < 6; n += 1) {
      const { id } = await submit({ n }, { window: over });
      await end(id, n === 0 ? 'failed' : 'completed', { status: 'failed', code: 'x', message: 'y' });
      if (n === 1) await queue.remove(id);
    }
    const due = await redis.zrange(wishesDueKey(root), 0, '-1');
    await redis.zadd(wishesDueKey(root), ...due.flatMap((digest) => ['1', digest]));
    const { id } = await submit({ n: 'last' });
    await submit({ n: 'later' });
    // A failed call may be retried, so its entry is checked again later.
    expect(await redis.hlen(wishesKey(root))).toBe(3);
    expect(await redis.zcard(wishesDueKey(root))).toBe(3);
    expect(await submit({ n: 'last' })).toMatchObject({ id });
  });

  test('can be looked up without storing anything', async () => {
    const { submit, target, queue } = setup();
    const input = { a: '1' };
    const digest = wishDigest({
      submittedBy: 'app',
      upstream: 'crossmark',
      operation: 'schedule-event',
      input,
    });
    expect(await findSameWish({ ...target, digest })).toBeNull();
    const { id } = await submit(input);
    expect(await findSameWish({ ...target, digest })).toBe(id);
    expect(await queue.getPrioritizedCount()).toBe(1);
  });
});

test('one setting overrides the window of every operation that has one', () => {
  const operations = { write: { duplicateWindowSeconds: 60 }, off: { duplicateWindowSeconds: 0 }, read: {} };
  expect(withDuplicateWindow(operations, undefined)).toBe(operations);
  expect(withDuplicateWindow(operations, 5)).toEqual({ ...operations, write: { duplicateWindowSeconds: 5 } });
  expect(withDuplicateWindow(operations, 0).write).toEqual({ duplicateWindowSeconds: 0 });
});

type CallState = 'unfinished' | 'in doubt' | 'succeeded' | 'failed' | 'cancelled' | 'gone';
type ModelCall = { id: string; wish: string; inWindow: boolean; state: CallState };

const posts = fc.record({
  kind: fc.constant('post' as const),
  client: fc.constantFrom('app', 'other'),
  input: fc.constantFrom('1', '2'),
  inWindow: fc.boolean(),
  how: fc.constantFrom('plain', 'plain', 'plain', 'keyed', 'allowed' as const),
});
const changes = fc.record({
  kind: fc.constant('change' as const),
  index: fc.nat(4),
  to: fc.constantFrom('in doubt', 'succeeded', 'failed', 'cancelled', 'retried', 'gone' as const),
});

/** The expected rule: the call that answers a post without a key, or undefined for a new call. */
function answering(calls: readonly ModelCall[], wish: string): ModelCall | undefined {
  const counts = ({ state, inWindow }: ModelCall) =>
    state === 'unfinished' || state === 'in doubt' || inWindow;
  return calls.findLast((call) => call.wish === wish && counts(call));
}

test('in any sequence of changes, a post returns the call that the rule selects, or a new call', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(posts, changes), { minLength: 4, maxLength: 16 }), async (steps) => {
      const made = setup();
      const calls: ModelCall[] = [];
      for (const step of steps) {
        if (step.kind === 'change') await change(made, calls[step.index], step.to);
        else await post(made, calls, step);
      }
    }),
    { numRuns: 150 },
  );
}, 120_000);

async function post(
  made: ReturnType<typeof setup>,
  calls: ModelCall[],
  { client, input, inWindow, how }: typeof posts extends fc.Arbitrary<infer Step> ? Step : never,
): Promise<void> {
  const wish = `${client} ${input}`;
  const expected = how === 'plain' ? answering(calls, wish) : undefined;
  const result = await made.submit(
    { visit: input },
    {
      client,
      window: inWindow ? hour : over,
      ...(how === 'keyed' && { key: randomUUID() }),
      ...(how === 'allowed' && { allowDuplicate: true }),
    },
  );
  expect(result.replayed).toBe(expected !== undefined);
  if (expected) expect(result.id).toBe(expected.id);
  else calls.push({ id: result.id, wish, inWindow, state: 'unfinished' });
}

async function change(
  { end, queue, target }: ReturnType<typeof setup>,
  call: ModelCall | undefined,
  to: (typeof changes extends fc.Arbitrary<infer Step> ? Step : never)['to'],
): Promise<void> {
  if (!call) return;
  const isRetryable = call.state === 'failed' || call.state === 'cancelled';
  if (to === 'retried' && isRetryable) {
    expect(await retryCall(target, call.id, Date.now())).toBe('waiting');
    call.state = 'unfinished';
  } else if (to === 'gone' && (isRetryable || call.state === 'succeeded')) {
    await queue.remove(call.id);
    call.state = to;
  } else if (call.state === 'unfinished' && to !== 'retried' && to !== 'gone') {
    if (to === 'cancelled') expect(await cancelWaiting(target, call.id, undefined)).toBe('settled');
    else if (to === 'succeeded') await end(call.id, 'completed');
    else {
      const status = to === 'failed' ? 'failed' : 'in_doubt';
      await end(call.id, 'failed', { status, code: 'x', message: 'y' });
    }
    call.state = to;
  }
}
