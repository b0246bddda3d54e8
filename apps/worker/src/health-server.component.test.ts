import { createMetrics } from '@recloser/runtime/observe/metrics';
import { listen } from '@recloser/runtime/process/http-server';
import { describe, expect, test } from 'vitest';
import { createKit, ScriptedClient } from '../test-kit/kit.ts';
import { breakerCheck, redisCheck } from './health-checks.ts';
import { createHealthApp, type HealthApp } from './health-server.ts';
import { CallWorker, fetchLoopProblem } from './queue/call-worker.ts';
import { defaultTimings } from './queue/timings.ts';

const safe = { reachable: true, safe: true, problems: [], warnings: [], memoryUsed: null, clockSkewMs: 0 };

function serve(parts: Partial<HealthApp>) {
  const app = createHealthApp({
    metrics: createMetrics('test'),
    readiness: async () => [],
    details: () => [],
    stop: { quiet: false },
    ...parts,
  });
  return listen(app, { host: '127.0.0.1', port: 0 });
}

describe('the endpoints', () => {
  test('ready reports the worst check, live does not depend on it', async () => {
    await using server = await serve({
      readiness: async () => [{ name: 'x', status: 'fail', output: 'gone' }],
    });
    const ready = await fetch(`${server.url}/health/ready`);
    expect(ready.status).toBe(503);
    expect(ready.headers.get('content-type')).toContain('application/health+json');
    expect(await ready.json()).toMatchObject({ status: 'fail', checks: { x: [{ output: 'gone' }] } });
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
  });

  test('an open breaker is a warning, which ready does not report', async () => {
    const view = { breaker: { state: 'open', reason: '5 failures' } };
    await using server = await serve({ details: () => [breakerCheck('crossmark', view)] });
    const health = await fetch(`${server.url}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({
      status: 'warn',
      checks: { 'crossmark:breaker': [{ observedValue: 'open' }] },
    });
    expect(await (await fetch(`${server.url}/health/ready`)).json()).toMatchObject({ status: 'pass' });
  });

  test('not ready while stopping; metrics in the text format', async () => {
    await using server = await serve({ stop: { quiet: true } });
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(503);
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain(
      'recloser_process_cpu_seconds_total',
    );
  });
});

describe('readiness', () => {
  test('distinguishes a dead fetch loop from one that rests', () => {
    const loop = { running: true, paused: false, active: 0, capacity: 2, silentMs: 100 };
    expect(fetchLoopProblem(loop, 1_000)).toBeNull();
    expect(fetchLoopProblem({ ...loop, silentMs: 1_001 }, 1_000)).toMatch(/no fetch for 1 s/);
    expect(fetchLoopProblem({ ...loop, running: false }, 1_000)).toMatch(/not running/);
    expect(fetchLoopProblem({ ...loop, silentMs: 9_999, active: 2 }, 1_000)).toBeNull();
    expect(fetchLoopProblem({ ...loop, silentMs: 9_999, paused: true, running: false }, 1_000)).toBeNull();
  });

  test('the loop of a real worker keeps fetching while the queue is empty and paused', async () => {
    await using kit = await createKit();
    await kit.holds.set({ kind: 'operator', owner: 'ada', reason: 'maintenance' });
    const timings = { ...defaultTimings, blockMs: 10 };
    const options = { connection: kit.connect('worker'), prefix: kit.root, timings };
    const worker = new CallWorker<object, null>('testing', async () => null, options);
    const running = worker.run();
    for (let fetches = 0; fetches < 5; fetches += 1) {
      let before = worker.fetchLoop.silentMs;
      const hasFetched = () => {
        const now = worker.fetchLoop.silentMs;
        const less = now < before;
        before = now;
        return less;
      };
      await expect.poll(hasFetched, { interval: 1 }).toBe(true);
    }
    expect(fetchLoopProblem(worker.fetchLoop, 60_000)).toBeNull();
    await worker.close();
    await running;
  });

  test('a started worker is ready', async () => {
    await using kit = await createKit();
    const { worker } = await kit.worker(new ScriptedClient());
    expect(worker.checks()).toEqual([
      { name: 'testing:calls', status: 'pass' },
      { name: 'testing:sign-ins', status: 'pass' },
    ]);
  });

  test('a worker that never started is not ready', async () => {
    await using kit = await createKit();
    const { worker } = await kit.worker(new ScriptedClient(), { start: false });
    expect(worker.checks()[0]).toMatchObject({ status: 'fail' });
  });

  test('Redis must answer', async () => {
    await using kit = await createKit();
    const redis = kit.connect('fast');
    expect(await redisCheck(redis, safe)).toMatchObject({ status: 'pass' });
    expect(await redisCheck(redis, { ...safe, warnings: ['clock off'] })).toMatchObject({ status: 'warn' });
    redis.disconnect();
    expect(await redisCheck(redis, safe)).toMatchObject({ status: 'fail' });
  });
});
