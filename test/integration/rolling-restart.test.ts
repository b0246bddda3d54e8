/**
 * A rolling deploy: one process after the other is stopped with SIGTERM while calls are posted and made. Afterwards every
 * call is compared with the upstream's ledger.
 */
import { fileURLToPath } from 'node:url';
import { type ChildHandle, startChild } from '@recloser/local-stack/process/child';
import { freePort } from '@recloser/local-stack/process/free-port';
import { waitUntilReady } from '@recloser/local-stack/process/wait-until-ready';
import { StackApi, visitInput } from '@recloser/local-stack/stack/stack-api';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

/**
 * Posts visits to two web processes in turn, like a load balancer, until stopped. Each loop waits until its call ends
 * before it posts the next, so that there is load but no backlog.
 */
class Poster {
  readonly ids: string[] = [];
  /** Other answers than a 2xx, and failed connections. */
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

  /** Repeats the post with the same key, so that there is one call. */
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
        // Only a failed connection during a restart. Any other error fails the test.
        if (!(error instanceof TypeError) || this.#stopped) throw error;
        this.refusedConnections += 1;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const sessionKey = Buffer.alloc(32, 3).toString('base64');

let running: TestStack;
beforeAll(async () => {
  // Requests held at the gate must not time out on a slow machine.
  running = await startTestStack({ workers: 0, env: { sessionKey, CROSSMARK_TIMEOUT_MS: '60000' } });
});
afterAll(() => running[Symbol.asyncDispose]());
beforeEach(() => running.api.faults([]));
afterEach(async () => {
  const { stack } = running;
  await Promise.all(stack.workers.map((worker) => stack.kill(worker, 'SIGTERM')));
});

/** Stops a process like a deploy does. Its exit status must be 0. */
async function endCleanly(handle: ChildHandle): Promise<void> {
  await running.stack.kill(handle, 'SIGTERM');
  expect([handle.name, await handle.exited]).toEqual([handle.name, { code: 0, signal: null }]);
}

const untilStopping = (handle: ChildHandle) =>
  until(() => expect(handle.lines.join('\n')).toContain('"stopping"'));

const untilHeld = (least: number) =>
  until(async () => expect((await running.api.ledger()).held).toBeGreaterThanOrEqual(least));

/** Reads the address of a worker's health server from its log. */
function healthUrl(worker: ChildHandle): string {
  const url = /"url":"(http:[^"]+)"/.exec(worker.lines.join('\n'))?.[1];
  if (!url) throw new Error(`${worker.name} logged no address`);
  return url;
}

const readiness = async (worker: ChildHandle): Promise<number> =>
  (await fetch(`${healthUrl(worker)}/health/ready`, { signal: AbortSignal.timeout(5_000) })).status;

/** Starts another web process on this port and the stack's Redis. */
async function startWeb(port: number): Promise<ChildHandle> {
  const web = startChild({
    name: 'second-web',
    file: process.execPath,
    args: ['apps/web/src/main.ts'],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: {
      ...process.env,
      NODE_ENV: 'development',
      sessionKey,
      REDIS_URL: running.stack.redisUrl,
      HOST: '127.0.0.1',
      WEB_PORT: String(port),
    },
  });
  await waitUntilReady(web, `http://127.0.0.1:${port}`, 30_000);
  return web;
}

describe('a rolling restart under load', () => {
  test('loses no call, makes none twice, costs no attempt, and refuses no request', async () => {
    const { api, stack } = running;
    const old = await Promise.all([1, 2].map(() => stack.addWorker({ WORKER_STOP_MS: '60000' })));
    const port = await freePort();
    let second = await startWeb(port);
    const poster = new Poster([api, new StackApi({ ...stack.urls, web: `http://127.0.0.1:${port}` })], 12);
    try {
      for (const worker of old) {
        // Twelve calls are in flight, so each worker has some: one makes at most ten.
        await api.gate({ operation: 'schedule-event' });
        await untilHeld(12);
        const ended = endCleanly(worker);
        await untilStopping(worker);
        await api.faults([]);
        await ended;
        await stack.addWorker();
      }
      const posted = async () => {
        const before = poster.ids.length;
        await until(() => expect(poster.ids.length).toBeGreaterThan(before + 30));
      };
      await endCleanly(stack.web);
      await posted();
      await stack.revive(stack.web);
      await endCleanly(second);
      await posted();
      second = await startWeb(port);
      await posted();
      await poster.stop();
      await endCleanly(second);
    } finally {
      await Promise.allSettled([poster.stop(), second.stop(30_000)]);
    }

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
  });
});

describe('a worker that is stopped', () => {
  test('waits for its calls until the deadline, then returns them without charging an attempt; a sent write is read back', async () => {
    const { api, stack } = running;
    const { visitsMade } = await api.ledger();
    const worker = await stack.addWorker({ WORKER_STOP_MS: '1000' });
    await api.gate(
      { operation: 'list-qualified-reps' },
      { besides: [{ kind: 'gate', operation: 'schedule-event', afterApply: true }] },
    );
    const place = { mPlanId: '30000001', locationId: '150001' };
    const reading = String((await api.post('crossmark/list-qualified-reps', { input: place })).body.id);
    const [writing = ''] = await postVisits(api, 1, 10_000);
    await untilHeld(2);
    expect((await api.call(reading)).status).toBe('running');
    const began = performance.now();
    await endCleanly(worker);
    expect(performance.now() - began).toBeGreaterThan(900);
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
    expect((await api.ledger()).visitsMade).toBe(visitsMade + 1);
  });

  test('exits at once on a second signal; another worker finds and makes its calls', async () => {
    const { api, stack } = running;
    const { visitsMade } = await api.ledger();
    const worker = await stack.addWorker({ WORKER_STOP_MS: '60000' });
    await api.gate({ operation: 'schedule-event' });
    const ids = await postVisits(api, 3, 10_010);
    await untilHeld(3);
    worker.signal('SIGTERM');
    await untilStopping(worker);
    // A signal right after the first counts as the same one, so it is repeated until it counts as a second.
    await until(() => {
      worker.signal('SIGTERM');
      expect(worker.hasExited).toBe(true);
    });
    expect(await worker.exited).toEqual({ code: 1, signal: null });
    // The upstream does the work after the worker has exited.
    await api.faults([]);
    await until(async () => expect((await api.ledger()).visitsMade).toBe(visitsMade + 3));
    await stack.addWorker();
    expect(await allEnded(api, ids)).toEqual({ succeeded: 3 });
    const ledger = await api.ledger();
    expect(ledger.visitsMade).toBe(visitsMade + 3);
    expect(Math.max(...Object.values(ledger.visitsByItem))).toBe(1);
  });
});

describe('readiness of a worker', () => {
  test('ends while Redis is down or frozen, and returns when calls run again', async () => {
    const { api, stack } = running;
    const worker = await stack.addWorker();
    if (!stack.redis) throw new Error('the stack is not complete');
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
        // Longer than a worker's lock, heartbeat and blocking read.
        expect(performance.now() - since).toBeGreaterThan(7_000);
      });
      await end();
      await until(async () => expect(await readiness(worker)).toBe(200));
      const ids = await until(() => postVisits(api, 2, 10_020 + n * 10));
      expect(await allEnded(api, ids)).toEqual({ succeeded: 2 });
    }
    expect(worker.hasExited).toBe(false);
  });
});
