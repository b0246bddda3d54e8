import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';
import { UpstreamFeed } from './upstream-feed.ts';
import type { Snapshot } from './upstream-view.ts';

const redisUrl = inject('redisUrl');

/** Reads a live stream until `accept` takes a snapshot. */
async function readUntil(admin: TestAdmin, cookie: string, accept: (snapshot: Snapshot) => boolean) {
  const stop = new AbortController();
  const answer = await fetch(`${admin.url}/api/upstreams/stream`, {
    headers: { cookie },
    signal: stop.signal,
  });
  expect(answer.headers.get('content-type')).toContain('text/event-stream');
  let text = '';
  for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    const events = text.split('\n\n');
    text = events.pop() ?? '';
    for (const event of events) {
      const data = /^event: upstreams\ndata: (.*)$/s.exec(event)?.[1];
      if (data === undefined) continue;
      const snapshot = JSON.parse(data) as Snapshot;
      if (accept(snapshot)) {
        stop.abort();
        return snapshot;
      }
    }
  }
  throw new Error('the stream ended');
}

describe('GET /api/upstreams', () => {
  test('returns every upstream in the documented shape', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    const askedAt = Date.now();
    const answer = await fetch(`${admin.url}/api/upstreams`, { headers: { cookie } });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { asOf, upstreams } = (await answer.json()) as Snapshot;
    expect(Date.parse(asOf)).toBeGreaterThanOrEqual(askedAt);
    expect(Date.parse(asOf)).toBeLessThanOrEqual(Date.now());
    expect(upstreams.map(({ name }) => name)).toEqual(['crossmark', 'walmart-edr']);
    expect(upstreams[0]).toMatchObject({
      breaker: {
        state: 'closed',
        generation: expect.any(Number),
        retryAt: null,
        consecutiveFailures: 0,
        permits: null,
      },
      holds: [],
      queue: {
        waiting: 0,
        delayed: 0,
        overdue: 0,
        active: 0,
        failed: 0,
        inDoubt: 0,
        oldestWaitingSeconds: null,
      },
      workers: 0,
      evidence: { failMax: 5 },
      fleet: [],
    });
  });
});

describe('the live stream', () => {
  test('sends a snapshot at once and another after a change', async () => {
    await using admin = await startAdmin(redisUrl);
    const cookie = await admin.login('viewer');
    const upstream = admin.upstreams[0];
    let seen = 0;
    const snapshot = await readUntil(admin, cookie, ({ upstreams }) => {
      seen += 1;
      if (seen === 1)
        void upstream?.holds.set({ kind: 'operator', owner: 'somebody', reason: 'test', forMs: 60_000 });
      // The pause follows the hold.
      return upstreams[0]?.holds.length === 1 && upstreams[0].paused;
    });
    expect(snapshot.upstreams[0]).toMatchObject({ paused: true, holds: [{ owner: 'somebody' }] });
  });
});

describe('the feed', () => {
  test('sends an event at least every two seconds when nothing changes', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const read = async () => ({ asOf: '', upstreams: [] });
    const subscriber = { on: () => {}, off: () => {}, subscribe: async () => 1 } as never;
    const feed = new UpstreamFeed({ read, subscriber, channels: ['c'], log: { warn: () => {} } as never });
    feed.start();
    let heard = 0;
    feed.listen(() => {
      heard += 1;
    });
    await vi.advanceTimersByTimeAsync(0);
    for (const times of [1, 2, 3]) {
      expect(heard).toBeGreaterThanOrEqual(times);
      await vi.advanceTimersByTimeAsync(2_000);
    }
    feed.stop();
  });

  test('reads once for all listeners and never without listeners', async () => {
    let reads = 0;
    const read = async () => {
      reads += 1;
      return { asOf: '', upstreams: [] };
    };
    const subscriber = { on: () => {}, off: () => {}, subscribe: async () => 1 } as never;
    const feed = new UpstreamFeed({
      read,
      subscriber,
      channels: ['c'],
      log: { warn: () => {} } as never,
      everyMs: 20,
    });
    feed.start();
    expect(reads).toBe(0);
    const heard = [0, 0];
    const stops = heard.map((_, index) => feed.listen(() => (heard[index] = (heard[index] ?? 0) + 1)));
    await expect.poll(() => heard[0]).toBeGreaterThanOrEqual(3);
    expect(heard[1]).toBe(heard[0]);
    expect(reads).toBe(heard[0]);
    for (const stop of stops) stop();
    feed.stop();
  });

  test('sends `unavailable` after a failed read and continues', async () => {
    let reads = 0;
    const read = async () => {
      reads += 1;
      if (reads === 1) throw new Error('Redis is away');
      return { asOf: '', upstreams: [] };
    };
    const subscriber = {
      on: () => {},
      off: () => {},
      subscribe: () => Promise.reject(new Error('away')),
    } as never;
    const feed = new UpstreamFeed({
      read,
      subscriber,
      channels: ['c'],
      log: { warn: () => {} } as never,
      everyMs: 10,
    });
    feed.start();
    const kinds: string[] = [];
    feed.listen((event) => kinds.push(event.kind));
    await expect.poll(() => kinds.length).toBeGreaterThanOrEqual(2);
    feed.stop();
    expect(kinds.slice(0, 2)).toEqual(['unavailable', 'snapshot']);
  });
});
