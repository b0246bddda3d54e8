/** The fleet breaker with real processes: how it opens, probes, ramps and is repaired. */
import { readTransitions, readUpstreamState } from '@recloser/breaker/upstream-state';
import { startTcpProxy } from '@recloser/local-stack/process/tcp-proxy';
import { type StackApi, visitInput } from '@recloser/local-stack/stack/stack-api';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const root = 'recloser:{crossmark}';
const down = { kind: 'status', status: 503 };

async function postReads(api: StackApi, count: number): Promise<string[]> {
  const answers = await Promise.all(
    Array.from({ length: count }, (_, n) => {
      const { mPlanId, locationId } = visitInput(n);
      return api.post('crossmark/list-qualified-reps', { input: { mPlanId, locationId } });
    }),
  );
  return answers.map(({ status, body }) => {
    expect(status).toBe(202);
    return String(body.id);
  });
}

const untilState = (api: StackApi, state: string) =>
  until(async () => expect(await api.upstream()).toMatchObject({ breaker: { state }, queue: { active: 0 } }));

const untilHeld = (api: StackApi, held: number) =>
  until(async () => expect((await api.ledger()).held).toBe(held));

describe('workers of concurrency 1, and a breaker that stays open', () => {
  let running: TestStack;
  let admin: AdminApi;
  let redis: Redis;
  let queue: Queue;
  beforeAll(async () => {
    const env = {
      WORKER_CONCURRENCY: '1',
      CROSSMARK_BREAKER_RESET_MS: '600000',
      ADMIN_PASSWORD: 'correct horse',
    };
    running = await startTestStack({ workers: 1, env });
    admin = await AdminApi.logIn(running.stack.urls.admin, 'admin', env.ADMIN_PASSWORD);
    redis = new Redis(running.stack.redisUrl, { maxRetriesPerRequest: null });
    queue = new Queue('crossmark', { connection: redis, prefix: root });
  });
  afterAll(async () => {
    await queue.close();
    redis.disconnect();
    await running[Symbol.asyncDispose]();
  });

  test.each([1, 4])('%i workers: all stop after five failures and the calls in flight', async (workers) => {
    const { api, stack } = running;
    const missing = workers - stack.workers.length;
    await Promise.all(Array.from({ length: missing }, () => stack.addWorker()));
    expect(await allEnded(api, await postReads(api, 10))).toEqual({ succeeded: 10 });
    const before = (await api.ledger()).requests.length;
    await api.faults([down]);
    const ids = await postReads(api, 40);
    await untilState(api, 'open');
    expect((await api.ledger()).requests.length - before).toBeLessThanOrEqual(5 + workers);
    await api.faults([]);
    const closed = await admin.post('/api/upstreams/crossmark/actions', {
      action: 'close-full',
      reason: 'well',
    });
    expect(closed.status).toBe(200);
    expect(await allEnded(api, ids)).toEqual({ succeeded: 40 });
  });

  describe('forced out of step', () => {
    const untilRight = (state: string, paused: boolean) =>
      until(async () => {
        expect(await queue.isPaused()).toBe(paused);
        expect((await running.api.upstream()).breaker.state).toBe(state);
      });

    /** Waits until every worker has reported the current state for two seconds, so that no worker is still applying it. */
    async function untilApplied(): Promise<void> {
      const first = new Map<string, number>();
      await until(async () => {
        const { breaker, workers } = await readUpstreamState({ redis, root });
        expect(workers).toHaveLength(running.stack.workers.length);
        for (const { id, seenAt, generation, state } of workers) {
          const key = `${id} ${breaker.generation}`;
          if (generation === breaker.generation && state === breaker.state && !first.has(key)) {
            first.set(key, seenAt);
          }
          expect(seenAt - (first.get(key) ?? seenAt)).toBeGreaterThan(2_000);
        }
      });
    }

    /** Waits for the repair in the timeline and in a worker's log. The reconciler runs at least every 5 s. */
    async function untilTold(found: string, sinceMs: number): Promise<void> {
      const repair = await until(async () => {
        const moves = await readTransitions({ redis, root, count: 100 });
        const told = moves.find(({ kind, reason }) => kind === 'repair' && reason.includes(found));
        expect(told).toBeDefined();
        return told;
      });
      expect((repair?.at ?? 0) - sinceMs).toBeLessThan(15_000);
      await until(() => expect(running.stack.output().join('\n')).toContain(found));
    }

    const redisMs = async () => {
      const [seconds, micros] = await redis.time();
      return Number(seconds) * 1_000 + Number(micros) / 1_000;
    };

    test('a pause without a hold, a resume under a hold and deleted keys are repaired within seconds, and logged', async () => {
      const { api } = running;
      await untilApplied();
      const paused = await redisMs();
      await queue.pause();
      await untilRight('closed', false);
      await untilTold('paused without a hold', paused);

      await api.faults([down]);
      const ids = await postReads(api, 30);
      await untilState(api, 'open');
      await untilApplied();
      const before = (await api.ledger()).requests.length;
      const resumed = await redisMs();
      await queue.resume();
      await untilTold('running despite a hold', resumed);
      await untilRight('open', true);
      // Calls fetched meanwhile were returned to the queue. Nothing was sent.
      expect((await api.ledger()).requests.length).toBe(before);

      await redis.del(`${root}:crossmark:meta`);
      await untilRight('open', true);

      await api.faults([]);
      await redis.del(
        `${root}:breaker`,
        `${root}:holds`,
        `${root}:workers`,
        `${root}:evidence`,
        `${root}:permits`,
      );
      await untilRight('closed', false);
      expect(await allEnded(api, ids)).toEqual({ succeeded: 30 });
    });
  });
});

describe('three workers, one of them on another network', () => {
  let running: TestStack;
  let proxy: Awaited<ReturnType<typeof startTcpProxy>>;
  beforeAll(async () => {
    // Requests held at the gate must not time out on a slow machine.
    running = await startTestStack({ workers: 2, env: { CROSSMARK_TIMEOUT_MS: '60000' } });
    const { stack } = running;
    proxy = await startTcpProxy(Number(new URL(stack.urls.simulator).port));
    await stack.addWorker({ CROSSMARK_BASE_URL: `http://127.0.0.1:${proxy.port}/crossmark` });
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await running[Symbol.asyncDispose]();
  });

  test('that network fails: the worker is set aside and later resumes, every call succeeds, the breaker stays closed', async () => {
    const { api } = running;
    expect(await allEnded(api, await postVisits(api, 1))).toEqual({ succeeded: 1 });
    // Every worker has ten writes in flight, which are done but not answered.
    await api.gate({ operation: 'schedule-event', afterApply: true });
    const ids = await postVisits(api, 60, 1);
    await untilHeld(api, 30);
    proxy.break();
    await until(async () => expect(await api.upstream()).toMatchObject({ workers: 3, setAside: 1 }));
    await api.faults([]);
    expect(await allEnded(api, ids)).toEqual({ succeeded: 60 });
    expect((await api.upstream()).breaker).toMatchObject({ state: 'closed', generation: 0 });
    expect((await api.ledger()).visitsMade).toBe(61);
    proxy.mend();
    await until(async () => expect(await api.upstream()).toMatchObject({ workers: 3, setAside: 0 }));
    await api.gate({ operation: 'schedule-event' });
    const again = await postVisits(api, 30, 100);
    await untilHeld(api, 30);
    await api.faults([]);
    expect(await allEnded(api, again)).toEqual({ succeeded: 30 });
    const workers = (await api.calls(again)).map(({ history }) => history.at(-1)?.worker);
    expect(new Set(workers).size).toBe(3);
  });

  test('150 held calls, 30 slots: one in flight, then two, four, eight; the ramp adapts to an upstream that takes six', async () => {
    const { api, stack } = running;
    await api.faults([down]);
    const ids = await postReads(api, 150);
    await untilState(api, 'open');
    const operation = 'list-qualified-reps';
    const before = (await api.ledger()).requests.length;
    // Without the earlier failed probes, which are not part of the recovery. Sign-in and probe are not calls.
    const recovery = async () =>
      (await api.ledger()).requests.slice(before).filter((request) => request.operation === operation);
    await api.gate({ operation });
    await untilHeld(api, 1);
    const trial = (await api.upstream()).breaker.generation;
    for (const permits of [1, 2, 4]) {
      await untilHeld(api, permits);
      await api.release();
    }
    await untilHeld(api, 8);
    // Never more at once than the successes so far allow.
    const ramp = (await recovery()).map(({ inFlight }) => inFlight);
    expect(ramp).toHaveLength(15);
    expect(Math.max(...ramp.slice(0, 1))).toBe(1);
    expect(Math.max(...ramp.slice(1, 3))).toBe(2);
    expect(Math.max(...ramp.slice(3, 7))).toBe(4);
    expect(Math.max(...ramp)).toBe(8);

    // Eight requests are answered. Of the next ones the upstream accepts only six.
    await api.faults([
      { kind: 'capacity', operation, limit: 6, status: 503 },
      { kind: 'latency', operation, ms: 100 },
    ]);
    expect(await allEnded(api, ids)).toEqual({ succeeded: 150 });
    await untilState(api, 'closed');
    const calls = await recovery();
    const refused = calls.filter(({ outcome }) => outcome === 'answered 503').length;
    expect(refused / calls.length).toBeLessThanOrEqual(1 / 7);
    const redis = new Redis(stack.redisUrl);
    const moves = await readTransitions({ redis, root, count: 1_000 });
    redis.disconnect();
    const later = moves.filter(({ kind, generation }) => kind === 'breaker' && (generation ?? 0) > trial);
    expect(later.map(({ to }) => to)).toEqual(['closed']);
  });

  test('the worker that runs the probe is killed: the next probe comes within the lease', async () => {
    const { api, stack } = running;
    await untilState(api, 'closed');
    await api.faults([down]);
    const ids = await postReads(api, 30);
    await until(async () => expect((await api.upstream()).breaker.state).toBe('open'));
    await api.gate();
    await untilHeld(api, 1);
    const redis = new Redis(stack.redisUrl);
    const { breaker } = await readUpstreamState({ redis, root });
    expect(breaker).toMatchObject({ state: 'half_open', probing: true });
    // The probe's ten seconds, and five more.
    expect((breaker.leaseUntil ?? 0) - breaker.since).toBeLessThanOrEqual(15_000);
    const victim = stack.workers.find(({ pid }) => breaker.leaseHolder?.includes(`-${pid}-`));
    if (!victim) throw new Error('the holder is no worker of this stack');
    await stack.kill(victim);
    // The lease has expired.
    await redis.hset(`${root}:breaker`, 'leaseUntil', 1);
    redis.disconnect();
    await api.faults([]);
    expect(await allEnded(api, ids)).toEqual({ succeeded: 30 });
  });
});

describe('an outage of one hour, at 600 times the speed', () => {
  let running: TestStack;
  beforeAll(async () => {
    // One hour with a reset time of 60 s that grows to 600 s, scaled to 6 s with 100 ms to 1 s.
    const env = {
      CROSSMARK_BREAKER_RESET_MS: '100',
      CROSSMARK_BACKOFF_BASE_MS: '100',
      CROSSMARK_MAX_ATTEMPTS: '4',
    };
    running = await startTestStack({ workers: 2, env });
  });
  afterAll(() => running[Symbol.asyncDispose]());

  test('waiting calls lose no attempt', async () => {
    const { api } = running;
    await api.faults([down]);
    await postReads(api, 6);
    await until(async () => expect((await api.upstream()).breaker.state).toBe('open'));
    const waiting = await postVisits(api, 5);
    // 60 + 120 + 240 + 480 + 600 × 4: eight probes, so the generation is 1 + 2 × 8 at the end of the hour.
    await until(async () => expect((await api.upstream()).breaker.generation).toBeGreaterThanOrEqual(17));
    for (const { attempts } of await api.calls(waiting)) expect(attempts.made).toBe(0);
    await api.faults([]);
    expect(await allEnded(api, waiting)).toEqual({ succeeded: 5 });
    for (const { attempts } of await api.calls(waiting)) expect(attempts.made).toBe(1);
  });

  test('a call that always fails ends as failed and does not block others', async () => {
    const { api } = running;
    await untilState(api, 'closed');
    // Every request for qualified reps fails. All others work.
    await api.faults([{ kind: 'status', status: 500, operation: 'list-qualified-reps' }]);
    const [poison] = await postReads(api, 1);
    if (!poison) throw new Error('not posted');
    const others = await postVisits(api, 20, 5);
    expect(await allEnded(api, others)).toEqual({ succeeded: 20 });
    expect(await allEnded(api, [poison])).toEqual({ failed: 1 });
    expect((await api.call(poison)).attempts.made).toBe(4);
    await until(async () => expect((await api.upstream()).breaker.state).toBe('closed'));
  });
});
