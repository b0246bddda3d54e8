/**
 * Restarts as a deploy makes them: one process after the other, with SIGTERM, while calls are posted and made.
 * Afterwards the ledger of the upstream and every call are held against each other.
 */
import { randomUUID } from 'node:crypto';
import type { ChildHandle } from '@recloser/local-stack/child';
import { type Stack, startStack } from '@recloser/local-stack/stack';
import { StackApi, visitInput } from '@recloser/local-stack/stack-api';
import { describe, expect, test } from 'vitest';
import { allEnded, postVisits, startTestStack, until } from '../support/stack.ts';

/**
 * Posts visits to book at two webs in turn, as a load balancer would, until told to stop. Each loop waits for its call
 * before it posts the next, so that there is load and no backlog.
 */
class Poster {
  readonly ids: string[] = [];
  /** Answers that were no yes, and connections that were refused or cut. */
  readonly refusals: string[] = [];
  refusedConnections = 0;
  #stopped = false;
  readonly #apis: readonly StackApi[];
  readonly #loops: Promise<void>[];

  constructor(apis: readonly StackApi[], loops: number) {
    this.#apis = apis;
    this.#loops = Array.from({ length: loops }, (_, loop) => this.#run(loop, loops));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #run(loop: number, loops: number): Promise<void> {
    for (let n = loop; !this.#stopped; n += loops) this.ids.push(await this.#post(n));
  }

  /** The same key each time, so that a repeat is the same call. */
  async #post(n: number): Promise<string> {
    const headers = { 'idempotency-key': `rolling-${n}`, prefer: 'wait=10' };
    for (let tries = n; ; tries += 1) {
      const api = this.#apis[tries % this.#apis.length] as StackApi;
      try {
        const {
          status,
          body,
          headers: answered,
        } = await api.post('crossmark/schedule-event', { input: visitInput(n) }, headers);
        if (status === 200 || status === 202) return String(body.id);
        this.refusals.push(`${status} ${body.code} ${answered.get('retry-after')}`);
      } catch (error) {
        // Only a connection that could not be used: whatever else goes wrong fails the test.
        if (!(error instanceof TypeError)) throw error;
        this.refusedConnections += 1;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** Ends it as a deploy does; it must leave in time and cleanly. */
async function endCleanly(stack: Stack, handle: ChildHandle): Promise<void> {
  await stack.kill(handle, 'SIGTERM');
  expect([handle.name, await handle.exited]).toEqual([handle.name, { code: 0, signal: null }]);
}

/** The address of a worker's health server, as it logged it. */
function healthUrl(worker: ChildHandle): string {
  const url = /"url":"(http:[^"]+)"/.exec(worker.lines.join('\n'))?.[1];
  if (!url) throw new Error(`${worker.name} logged no address`);
  return url;
}

const readiness = async (worker: ChildHandle): Promise<number> =>
  (await fetch(`${healthUrl(worker)}/health/ready`, { signal: AbortSignal.timeout(5_000) })).status;

describe('a rolling restart under load', () => {
  test('loses nothing, doubles nothing, spends no attempt, and refuses nobody', async () => {
    const SESSION_KEY = Buffer.alloc(32, 3).toString('base64');
    await using running = await startTestStack({ workers: 2, env: { SESSION_KEY } });
    const { api, stack } = running;
    // A second web over the same Redis; its stack's other apps stand idle.
    await using beside = await startStack({
      env: { NODE_ENV: 'development', SESSION_KEY, REDIS_URL: stack.redisUrl },
      workers: 0,
      dataDir: `/tmp/recloser-beside-${randomUUID()}`,
    });
    // So that a restart always meets calls in flight.
    await api.faults([{ kind: 'latency', ms: 120 }]);
    const webs = [
      new StackApi(stack.urls),
      new StackApi({ ...beside.urls, simulator: stack.urls.simulator }),
    ];
    const poster = new Poster(webs, 12);
    for (const worker of [...stack.workers]) {
      await until(async () => expect((await api.upstream()).queue.active).toBeGreaterThan(3));
      await endCleanly(stack, worker);
      await stack.addWorker();
    }
    for (const one of [stack, beside]) {
      const { web } = one;
      await endCleanly(one, web);
      const before = poster.ids.length;
      await until(() => expect(poster.ids.length).toBeGreaterThan(before + 10));
      await one.revive(web);
    }
    await poster.stop();

    const ends = await allEnded(api, poster.ids);
    expect(ends).toEqual({ succeeded: poster.ids.length });
    expect(new Set(poster.ids).size).toBe(poster.ids.length);
    for (const { attempts } of await api.calls(poster.ids)) {
      expect(attempts).toMatchObject({ made: 1, stalls: 0 });
    }
    const { visitsByItem, visitsMade } = await api.ledger();
    expect(visitsMade).toBe(poster.ids.length);
    expect(Math.max(...Object.values(visitsByItem))).toBe(1);
    expect(poster.refusals.filter((line) => !/^503 \w+ \d+$/.test(line))).toEqual([]);
    expect(poster.ids.length).toBeGreaterThan(100);
  });
});

describe('a worker that is told to stop', () => {
  test('waits for its calls until the deadline, then gives them back unspent; a sent write is read back', async () => {
    await using running = await startTestStack({
      workers: 1,
      env: { WORKER_STOP_MS: '1000', CROSSMARK_TIMEOUT_MS: '30000' },
    });
    const { api, stack } = running;
    await api.faults([
      { kind: 'latency', ms: 25_000, operation: 'list-qualified-reps' },
      { kind: 'hang', operation: 'schedule-event', afterApply: true },
    ]);
    const place = { mPlanId: '30000001', locationId: '150001' };
    const reading = String((await api.post('crossmark/list-qualified-reps', { input: place })).body.id);
    const [writing = ''] = await postVisits(api, 1, 5);
    await until(async () => expect((await api.ledger()).visitsMade).toBe(1));
    await until(async () => expect((await api.call(reading)).status).toBe('running'));
    const [worker] = stack.workers;
    if (!worker) throw new Error('no worker lives');
    const began = performance.now();
    await endCleanly(stack, worker);
    expect(performance.now() - began).toBeGreaterThan(900);
    expect(performance.now() - began).toBeLessThan(8_000);
    expect(await api.call(reading)).toMatchObject({
      status: 'queued',
      attempts: { made: 0, deferrals: 1, stalls: 0 },
    });
    await api.faults([]);
    await stack.addWorker();
    expect(await allEnded(api, [reading, writing])).toEqual({ succeeded: 2 });
    for (const { attempts } of await api.calls([reading, writing])) {
      expect(attempts).toMatchObject({ made: 1, stalls: 0 });
    }
    expect((await api.ledger()).visitsMade).toBe(1);
  });

  test('leaves at once at a second signal; its calls are found and made by another', async () => {
    await using running = await startTestStack({ workers: 1, env: { WORKER_STOP_MS: '60000' } });
    const { api, stack } = running;
    await api.faults([{ kind: 'latency', ms: 3_500, operation: 'schedule-event' }]);
    const ids = await postVisits(api, 3);
    await until(async () => expect((await api.upstream()).queue.active).toBe(3));
    const [worker] = stack.workers;
    if (!worker) throw new Error('no worker lives');
    worker.signal('SIGTERM');
    await until(() => expect(worker.lines.join('\n')).toContain('"stopping"'));
    // A signal right after the first counts as the same one, so it is sent until it is taken as a second.
    await until(() => {
      worker.signal('SIGTERM');
      expect(worker.hasExited).toBe(true);
    });
    expect(await worker.exited).toEqual({ code: 1, signal: null });
    await stack.addWorker();
    expect(await allEnded(api, ids)).toEqual({ succeeded: 3 });
    expect((await api.ledger()).visitsByItem).toEqual(
      Object.fromEntries([0, 1, 2].map((n) => [visitInput(n).mPlanId, 1])),
    );
  });
});

describe('readiness of a worker', () => {
  test('goes while Redis is down or frozen for long, and comes back together with the calls', async () => {
    await using running = await startTestStack({ workers: 1 });
    const { api, stack } = running;
    const [worker] = stack.workers;
    if (!worker || !stack.redis) throw new Error('the stack is not complete');
    const { redis } = stack;
    const outages = [
      { begin: () => redis.kill(), end: () => redis.restart() },
      { begin: async () => redis.freeze(), end: async () => redis.thaw() },
    ];
    expect(await readiness(worker)).toBe(200);
    for (const [n, { begin, end }] of outages.entries()) {
      await begin();
      const since = performance.now();
      await until(async () => {
        expect(await readiness(worker)).toBe(503);
        // Longer than a lock, a heartbeat and a blocking read of a worker last.
        expect(performance.now() - since).toBeGreaterThan(7_000);
      });
      await end();
      const back = performance.now();
      await until(async () => expect(await readiness(worker)).toBe(200));
      expect(performance.now() - back).toBeLessThan(10_000);
      const ids = await until(() => postVisits(api, 2, n * 10));
      expect(await allEnded(api, ids)).toEqual({ succeeded: 2 });
      expect(performance.now() - back).toBeLessThan(20_000);
    }
    expect(worker.hasExited).toBe(false);
  });
});
