import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { describe, expect, inject, it, vi } from 'vitest';
import { newCallId, orderOfCallId } from '../call/id.ts';
import { sliceSize } from '../queue/read-slices.ts';
import { listIds } from './list-calls.ts';

const stepMs = 100;
const startMs = Date.UTC(2026, 0, 5);

/** A call that was accepted at this time. */
function idOf(acceptedMs: number): string {
  const hex = acceptedMs.toString(16).padStart(12, '0');
  const [name, , , ...rest] = newCallId('crossmark').split('-');
  return [name, hex.slice(0, 8), hex.slice(8), ...rest].join('-');
}

type InLine = {
  readonly acceptedMs: number;
  readonly cameMs: number;
  readonly fields: Record<string, string>;
};

const straight = { opts: '{}', data: '{"history":[],"deferrals":0}' };

/** One call per step, enqueued on acceptance. `late` says when and how a call was enqueued again. */
function line(count: number, late: (n: number) => Partial<InLine> = () => ({})): InLine[] {
  return Array.from({ length: count }, (_, n) => {
    const acceptedMs = startMs + n * stepMs;
    return { acceptedMs, cameMs: acceptedMs, fields: straight, ...late(n) };
  });
}

async function source() {
  const redis = new Redis(inject('redisUrl'));
  const root = `test-${randomUUID()}:{crossmark}`;
  const queue = { toKey: (part: string) => `${root}:crossmark:${part}` };
  return {
    redis,
    root,
    queue,
    /** Enqueues the calls as BullMQ does. Returns the ids. */
    async stand(calls: readonly InLine[], priorityOf: (n: number) => number = () => 50): Promise<string[]> {
      const writing = redis.pipeline();
      const byComing = [...calls].sort((a, b) => a.cameMs - b.cameMs);
      const ids = byComing.map(({ acceptedMs, cameMs, fields }, n) => {
        const id = idOf(acceptedMs);
        writing.hset(queue.toKey(id), { timestamp: String(acceptedMs), ...fields });
        // A returned call goes to the front with number 0.
        const place = Number.isFinite(cameMs) ? n + 1 : 0;
        writing.zadd(queue.toKey('prioritized'), priorityOf(n) * 2 ** 32 + place, id);
        return id;
      });
      await writing.exec();
      return ids;
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect();
    },
  };
}

const newestFirst = (ids: readonly string[]) =>
  [...ids].sort((a, b) => (orderOfCallId(a) < orderOfCallId(b) ? 1 : -1));

describe('listing calls', () => {
  it('reads no more of a long queue than of a short one, in small slices', async () => {
    await using from = await source();
    const ids = newestFirst(await from.stand(line(8_000)));
    const read = vi.spyOn(from.redis, 'zrevrangebyscore');
    const page = await listIds(from, { status: 'queued', limit: 100 });
    expect(page.map(({ id }) => id)).toEqual(ids.slice(0, 100));
    expect(read.mock.calls.length).toBeLessThanOrEqual(8);
    expect(read.mock.calls.map((args) => Number(args.at(-1))).every((most) => most <= sliceSize)).toBe(true);
    const before = orderOfCallId(ids[3_000] as string);
    const next = await listIds(from, { status: 'queued', before, limit: 100 });
    expect(next.map(({ id }) => id)).toEqual(ids.slice(3_001, 3_101));
    expect(read.mock.calls.length).toBeLessThanOrEqual(20);
  });

  it('finds all calls that were enqueued again: after a delay, a retry or a return, at any priority', async () => {
    await using from = await source();
    const calls = line(9_000, (n) => {
      const cameMs = startMs + (n + 4_000) * stepMs;
      if (n % 11 === 0) return { cameMs, fields: { ...straight, opts: '{"delay":60000}' } };
      if (n % 13 === 0) return { cameMs, fields: { ...straight, processedOn: '1' } };
      if (n % 17 === 0) return { cameMs, fields: { ...straight, data: '{"history":[{}],"deferrals":0}' } };
      if (n % 1_000 === 999) return { cameMs: Number.NEGATIVE_INFINITY };
      // A few thousand retried calls are ahead of newer ones.
      if (n > 2_000 && n < 4_500)
        return { cameMs: startMs + 8_500 * stepMs, fields: { ...straight, data: '{"settled":{}}' } };
      return {};
    });
    const ids = newestFirst(await from.stand(calls, (n) => 1 + (n % 3) * 49));
    for (const [first, limit] of [
      [0, 50],
      [0, 2_001],
      [500, 100],
      [6_000, 1_000],
      [0, 10_000],
    ] as const) {
      const before = first > 0 ? { before: orderOfCallId(ids[first - 1] as string) } : {};
      const page = await listIds(from, { status: 'deferred', limit, ...before });
      expect(page.map(({ id }) => id)).toEqual(ids.slice(first, first + limit));
    }
  });

  it('reads all of many that ended in the same millisecond', async () => {
    await using from = await source();
    const ids = line(3 * sliceSize + 5).map(({ acceptedMs }) => idOf(acceptedMs));
    await from.redis.zadd(from.queue.toKey('failed'), ...ids.flatMap((id) => [startMs + 9e8, id]));
    const listed = await listIds(from, { status: 'failed' });
    expect(listed.map(({ id }) => id)).toEqual(newestFirst(ids));
  });
});
