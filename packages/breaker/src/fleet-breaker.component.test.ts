import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { clockLua, setClock } from '../test-kit/set-clock.ts';
import { FleetBreaker } from './fleet-breaker.ts';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(inject('redisUrl'));
});
afterAll(() => redis.quit());

const startMs = 1_000_000;

function ticketOf<T extends { ticket: unknown }>(admission: T | undefined): T['ticket'] {
  if (!admission) throw new Error('no such admission');
  return admission.ticket;
}

const policy = { failMax: 3, resetMs: 60_000 };

async function setup({ workers = { a: 10 } }: { workers?: Record<string, number> } = {}) {
  const root = `test-${randomUUID()}:{up}`;
  const fleet = new FleetBreaker({ redis, root, policy, clock: clockLua });
  let nowMs = startMs;
  // In steps, so that the workers stay alive: they are removed after 15 s without a heartbeat.
  const at = async (ms: number) => {
    // Redis runs them in the order of sending.
    const sent: Promise<unknown>[] = [];
    do {
      nowMs = Math.min(startMs + ms, nowMs + 10_000);
      sent.push(setClock(redis, root, nowMs));
      for (const [id, capacity] of Object.entries(workers)) {
        const report = {
          id,
          host: 'h',
          pid: 1,
          startedAt: 0,
          capacity,
          active: 0,
          state: 'closed',
          generation: 0,
        };
        sent.push(fleet.heartbeat(report));
      }
    } while (nowMs < startMs + ms);
    await Promise.all(sent);
  };
  await at(0);
  let calls = 0;
  const admit = async (worker = 'a') => {
    calls += 1;
    const callId = `call-${calls}`;
    const reply = await fleet.admit(callId, worker, 15_000);
    return {
      ...reply,
      admitted: reply.admitted,
      ticket: { callId, worker, generation: reply.breaker.generation, era: reply.breaker.era },
    };
  };
  const fail = async (worker = 'a') => fleet.failed((await admit(worker)).ticket, 'http_503');
  const succeed = async (worker = 'a') => fleet.succeeded((await admit(worker)).ticket);
  const trip = async (worker = 'a') => {
    for (let i = 0; i < policy.failMax; i += 1) await fail(worker);
  };
  return { root, fleet, at, admit, fail, succeed, trip, now: () => nowMs };
}

describe('closed', () => {
  test('opens after consecutive failures of any workers', async () => {
    const { fleet, fail } = await setup({ workers: { a: 1, b: 1 } });
    await fail('a');
    await fail('b');
    expect((await fleet.read()).state).toBe('closed');
    const { breaker, holds } = await fail('a');
    expect(breaker).toMatchObject({
      state: 'open',
      generation: 1,
      retryAt: startMs + 60_000,
      consecutiveFailures: 3,
    });
    expect(holds).toEqual([expect.objectContaining({ kind: 'breaker', until: startMs + 60_000 })]);
  });

  test('a success resets the streak', async () => {
    const { fleet, fail, succeed } = await setup();
    await fail();
    await fail();
    await succeed();
    await fail();
    await fail();
    expect(await fleet.read()).toMatchObject({ state: 'closed', consecutiveFailures: 2 });
  });

  test('a worker that fails alone is set aside; the next failure of another opens the breaker', async () => {
    const { fleet, fail, trip, admit } = await setup({ workers: { a: 1, b: 1 } });
    await trip('a');
    const reply = await fleet.snapshot();
    expect(reply.breaker.state).toBe('closed');
    expect(reply.aside).toEqual(['a']);
    expect((await admit('a')).admitted).toBe(false);
    expect((await admit('b')).admitted).toBe(true);
    expect((await fail('b')).breaker.state).toBe('open');
  });

  test('a worker set aside comes back after its time if it works', async () => {
    const { fleet, trip, at } = await setup({ workers: { a: 1, b: 1 } });
    await trip('a');
    expect((await fleet.comeBack('a', true)).aside).toEqual(['a']);
    await at(60_000);
    expect((await fleet.comeBack('a', false)).aside).toEqual(['a']);
    await at(119_999);
    expect((await fleet.comeBack('a', true)).aside).toEqual(['a']);
    await at(120_000);
    expect((await fleet.comeBack('a', true)).aside).toEqual([]);
  });

  test('a late failure from an older generation changes nothing', async () => {
    const { fleet, admit, trip, at } = await setup();
    const late = await admit();
    await trip();
    await fleet.closeFull('someone', 'test');
    await fleet.failed(late.ticket, 'timeout');
    expect(await fleet.read()).toMatchObject({ state: 'closed', generation: 2, consecutiveFailures: 0 });
    await at(1);
  });
});

describe('open', () => {
  test('admits nothing, and only one worker wins the trial at the retry time', async () => {
    const { fleet, trip, at, admit } = await setup({ workers: { a: 1, b: 1, c: 1 } });
    await fleet.failed((await admit('b')).ticket, 'x');
    await trip('a');
    expect((await admit('a')).admitted).toBe(false);
    await at(59_999);
    expect((await fleet.beginTrial('a', 15_000, false, null)).won).toBe(false);
    await at(60_000);
    const tries = await Promise.all(
      ['a', 'b', 'c'].map((worker) => fleet.beginTrial(worker, 15_000, false, null)),
    );
    expect(tries.filter((reply) => reply.won)).toHaveLength(1);
    expect(await fleet.read()).toMatchObject({ state: 'half_open', generation: 2, permits: 1 });
  });

  test('stays open twice as long after each failed trial, up to ten times', async () => {
    const { fleet, trip, at, fail, now } = await setup();
    await trip();
    let ms = 0;
    const opened: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      const { retryAt } = await fleet.read();
      opened.push((retryAt as number) - now());
      ms += opened.at(-1) as number;
      await at(ms);
      await fleet.beginTrial('a', 15_000, false, null);
      await fail();
    }
    expect(opened).toEqual([60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
  });

  test('healthy time cancels earlier trips', async () => {
    const { fleet, trip, at } = await setup();
    await trip();
    await fleet.closeFull('someone', 'test');
    await at(59_000);
    await trip();
    expect((await fleet.read()).retryAt).toBe(startMs + 59_000 + 120_000);
    await fleet.closeFull('someone', 'test');
    await at(59_000 + 120_000);
    await trip();
    expect((await fleet.read()).trips).toBe(1);
  });
});

describe('half-open', () => {
  async function halfOpen(workers: Record<string, number>) {
    const all = await setup({ workers });
    for (const worker of Object.keys(workers)) await all.fleet.failed((await all.admit(worker)).ticket, 'x');
    await all.trip();
    await all.at(60_000);
    await all.fleet.beginTrial('a', 15_000, false, null);
    return all;
  }

  test('permits start at one, double with each round of successes, and close the breaker when they cover the fleet', async () => {
    const { fleet, admit } = await halfOpen({ a: 10, b: 10 });
    const widths: number[] = [];
    while ((await fleet.read()).state === 'half_open') {
      const round: Awaited<ReturnType<typeof admit>>[] = [];
      for (;;) {
        const one = await admit();
        if (!one.admitted) break;
        round.push(one);
      }
      widths.push(round.length);
      for (const { ticket } of round) await fleet.succeeded(ticket);
    }
    expect(widths).toEqual([1, 2, 4, 8, 16]);
    expect(await fleet.read()).toMatchObject({ state: 'closed', generation: 3, permits: null });
  });

  test('a failure halves the permits once per round; then they grow by one', async () => {
    const { fleet, admit, succeed } = await halfOpen({ a: 100 });
    for (let i = 0; i < 1 + 2 + 4; i += 1) await succeed();
    const inFlight = await Promise.all(Array.from({ length: 8 }, () => admit()));
    expect(inFlight.every((one) => one.admitted)).toBe(true);
    await fleet.failed(ticketOf(inFlight[0]), 'http_503');
    await fleet.failed(ticketOf(inFlight[1]), 'http_503');
    expect((await fleet.read()).permits).toBe(4);
    for (const one of inFlight.slice(2)) await fleet.succeeded(one.ticket);
    expect((await fleet.read()).permits).toBe(5);
  });

  test('a failure at one permit opens the breaker again', async () => {
    const { fail } = await halfOpen({ a: 10 });
    expect((await fail()).breaker).toMatchObject({ state: 'open', generation: 3, trips: 2 });
  });

  test('the permit of a dead holder is free after its lease', async () => {
    const { fleet, admit, at } = await halfOpen({ a: 10 });
    expect((await admit()).admitted).toBe(true);
    expect((await admit()).admitted).toBe(false);
    await at(60_000 + 15_000);
    expect((await admit()).admitted).toBe(true);
    expect((await fleet.snapshot()).inFlight).toBe(1);
  });

  test('an attempt without a verdict returns its permit', async () => {
    const { fleet, admit } = await halfOpen({ a: 10 });
    const one = await admit();
    await fleet.abandon(one.ticket);
    expect((await admit()).admitted).toBe(true);
  });

  test('closes after an idle time with no work left', async () => {
    const { fleet, succeed, at } = await halfOpen({ a: 10 });
    await succeed();
    expect((await fleet.idle('a')).breaker.state).toBe('half_open');
    await at(65_000);
    expect((await fleet.idle('a')).breaker).toMatchObject({ state: 'closed', consecutiveFailures: 0 });
  });

  test('without any call it closes after the reset time, one failure away from opening', async () => {
    const { fleet, at } = await halfOpen({ a: 10 });
    await at(119_999);
    expect((await fleet.idle('a')).breaker.state).toBe('half_open');
    await at(120_000);
    expect((await fleet.idle('a')).breaker).toMatchObject({ state: 'closed', consecutiveFailures: 2 });
  });
});

describe('probe', () => {
  async function probing() {
    const all = await setup({ workers: { a: 10, b: 10 } });
    await all.fail('b');
    await all.trip('a');
    await all.at(60_000);
    const { breaker, won } = await all.fleet.beginTrial('a', 15_000, true, null);
    expect(won).toBe(true);
    return { ...all, generation: breaker.generation };
  }

  test('no call is admitted while it runs, and the queue stays held', async () => {
    const { admit, fleet } = await probing();
    expect((await admit()).admitted).toBe(false);
    expect((await fleet.snapshot()).holds).toEqual([
      expect.objectContaining({ kind: 'breaker', until: startMs + 75_000 }),
    ]);
  });

  test('pass: one permit; fail: open for longer; inconclusive: open, not counted as a trip', async () => {
    const passed = await probing();
    expect((await passed.fleet.endProbe('a', passed.generation, 'pass', '')).breaker).toMatchObject({
      state: 'half_open',
      permits: 1,
      proven: true,
    });
    const failed = await probing();
    expect((await failed.fleet.endProbe('a', failed.generation, 'fail', 'timeout')).breaker).toMatchObject({
      state: 'open',
      trips: 2,
      retryAt: startMs + 60_000 + 120_000,
    });
    const unsure = await probing();
    expect((await unsure.fleet.endProbe('a', unsure.generation, 'inconclusive', '')).breaker).toMatchObject({
      state: 'open',
      trips: 1,
      retryAt: startMs + 65_000,
    });
  });

  test('a dead prober is replaced after its lease, and its late verdict is ignored', async () => {
    const { fleet, at, generation } = await probing();
    await at(60_000 + 14_999);
    expect((await fleet.beginTrial('b', 15_000, true, null)).won).toBe(false);
    await at(60_000 + 15_000);
    const second = await fleet.beginTrial('b', 15_000, true, null);
    expect(second.won).toBe(true);
    expect((await fleet.endProbe('a', generation, 'pass', '')).breaker.probing).toBe(true);
    expect((await fleet.endProbe('b', second.breaker.generation, 'pass', '')).breaker.permits).toBe(1);
  });
});

describe('rolling rate', () => {
  test('the first of several workers is set aside, a second one opens the breaker', async () => {
    const { fleet } = await setup({ workers: { a: 1, b: 1 } });
    expect((await fleet.rateTripped('a', 0, '12 of 20 failed', 20_000)).aside).toEqual(['a']);
    expect((await fleet.rateTripped('b', 0, '13 of 20 failed', 20_000)).breaker).toMatchObject({
      state: 'open',
      reason: '13 of 20 failed',
    });
  });
});
