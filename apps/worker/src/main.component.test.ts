/** The whole worker process against the real simulator process: started, used, stopped as an operator would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { callView, readCall } from '@recloser/calls/call-view';
import { enqueueCall } from '@recloser/calls/enqueue';
import { queueOptions } from '@recloser/calls/keys';
import { callOptions } from '@recloser/calls/options';
import { createLogger } from '@recloser/runtime/logger';
import { connectRedis } from '@recloser/runtime/redis';
import { createSealer } from '@recloser/runtime/seal';
import { crossmark } from '@recloser/upstreams/crossmark/definition';
import { Queue } from 'bullmq';
import { afterEach, describe, expect, inject, test, vi } from 'vitest';

const repository = new URL('../../../', import.meta.url).pathname;
const sessionKey = Buffer.alloc(32, 9);
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Process = { child: ChildProcess; output: () => string; exited: Promise<number | null> };

function run(app: string, env: Record<string, string>): Process {
  const child = spawn(process.execPath, [`apps/${app}/src/main.ts`], {
    cwd: repository,
    env: {
      NODE_ENV: 'test',
      LOG_PRETTY: 'false',
      REDIS_URL: inject('redisUrl'),
      ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += String(data)));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  stops.push(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { child, output: () => output, exited };
}

/** The address a process logged that it listens on. */
function addressOf({ output }: Process): Promise<string> {
  return vi.waitFor(
    () => {
      const url = /"url":"(http:[^"]+)"/.exec(output())?.[1];
      if (!url) throw new Error(`no address yet: ${output()}`);
      return url;
    },
    { timeout: 15_000, interval: 50 },
  );
}

async function setup() {
  const prefix = `test-${randomUUID()}`;
  const log = createLogger({ name: 'test', level: 'silent' });
  const redis = connectRedis(inject('redisUrl'), { role: 'worker', name: 'test', log });
  const { name, ...where } = queueOptions(prefix, 'crossmark');
  const queue = new Queue(name, { ...where, connection: redis });
  await queue.waitUntilReady();
  stops.push(async () => {
    await queue.close();
    redis.disconnect();
  });
  const simulator = await addressOf(run('simulator', { SIMULATOR_PORT: '0' }));
  const startWorker = () =>
    run('worker', {
      REDIS_PREFIX: prefix,
      SESSION_KEY: sessionKey.toString('base64'),
      WORKER_HEALTH_PORT: '0',
      WORKER_UPSTREAMS: 'crossmark',
      CROSSMARK_BASE_URL: `${simulator}/crossmark`,
      CROSSMARK_BACKOFF_BASE_MS: '20',
    });
  const sealer = createSealer(sessionKey);
  const schedule = async (mPlanId: string) => {
    const stored = await enqueueCall({
      redis,
      queue,
      prefix,
      upstream: 'crossmark',
      operation: crossmark.operations['schedule-event'],
      input: {
        repId: '123456',
        mPlanId,
        locationId: '654321',
        start: '2026-09-30T09:00:00-04:00',
        end: '2026-09-30T15:30:00-04:00',
      },
      options: callOptions(Date.now()).parse({}),
      sealer,
      requestId: 'r',
    });
    if (stored.kind !== 'stored') throw new Error(stored.kind);
    return stored.id;
  };
  const view = async (id: string) => {
    const call = await readCall({ redis, queue, id });
    if (!call) throw new Error('gone');
    return callView({ upstream: 'crossmark', call, holds: [], nowMs: Date.now(), sealer });
  };
  const succeeded = (id: string) =>
    vi.waitFor(
      async () => {
        const call = await view(id);
        if (call.status !== 'succeeded') throw new Error(JSON.stringify(call));
        return call;
      },
      { timeout: 30_000, interval: 50 },
    );
  const faults = (list: unknown[]) =>
    fetch(`${simulator}/control/crossmark/faults`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ faults: list }),
    });
  const ledger = async () =>
    (await (await fetch(`${simulator}/control/crossmark/ledger`)).json()) as {
      visits: { mPlanId: string; writes: number }[];
    };
  return { startWorker, schedule, succeeded, view, faults, ledger };
}

describe('the worker process', () => {
  test('books one visit, is ready, and stops cleanly on SIGTERM', async () => {
    const { startWorker, schedule, succeeded, ledger } = await setup();
    const worker = startWorker();
    const id = await schedule('12345678');
    const call = await succeeded(id);
    expect(call.result).toMatchObject({ scheduleEventId: expect.any(String), repId: '123456' });
    expect((await ledger()).visits).toHaveLength(1);
    const url = await addressOf(worker);
    await vi.waitFor(async () => expect((await fetch(`${url}/health/ready`)).status).toBe(200));
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(
      /recloser_calls_finished_total\{[^}]*operation="schedule-event",outcome="succeeded"[^}]*\} 1/,
    );
    expect(metrics).not.toContain(id);
    worker.child.kill('SIGTERM');
    expect(await worker.exited).toBe(0);
    expect(worker.output()).not.toContain('123456"');
  }, 60_000);

  test('a write that was applied and then answered 503 is found by reading back: one visit', async () => {
    const { startWorker, schedule, succeeded, faults, ledger } = await setup();
    await faults([{ kind: 'status', status: 503, operation: 'schedule-event', times: 1, afterApply: true }]);
    startWorker();
    const call = await succeeded(await schedule('12345679'));
    expect(call.attempts.made).toBe(1);
    expect(call.history.map(({ outcome }) => outcome)).toEqual(['in_doubt', 'done']);
    expect((await ledger()).visits).toMatchObject([{ mPlanId: '12345679', writes: 1 }]);
  }, 60_000);

  test('killed in the middle of a write: another worker reads back and never books twice', async () => {
    const { startWorker, schedule, succeeded, view, faults, ledger } = await setup();
    await faults([{ kind: 'hang', operation: 'schedule-event', times: 1, afterApply: true }]);
    const first = startWorker();
    const id = await schedule('12345680');
    await vi.waitFor(async () => expect((await ledger()).visits).toHaveLength(1), { timeout: 20_000 });
    first.child.kill('SIGKILL');
    await first.exited;
    startWorker();
    const call = await succeeded(id);
    expect(call.attempts).toMatchObject({ made: 1, stalls: 1 });
    expect((await view(id)).result).toMatchObject({ mPlanId: '12345680' });
    expect((await ledger()).visits).toMatchObject([{ writes: 1 }]);
  }, 90_000);

  test('says which variable is missing and exits with 1', async () => {
    const worker = run('worker', { NODE_ENV: 'production', SESSION_KEY: sessionKey.toString('base64') });
    expect(await worker.exited).toBe(1);
    expect(worker.output()).toContain('CROSSMARK_PASSWORD');
  }, 30_000);
});
