/** The worker process against the simulator process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { queueOptions } from '@recloser/calls/call/keys';
import { callView, readCall } from '@recloser/calls/read/view';
import { enqueueCall } from '@recloser/calls/write/enqueue';
import { callOptions } from '@recloser/calls/write/options';
import { createLogger } from '@recloser/runtime/observe/logger';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { crossmark } from '@recloser/upstreams/crossmark/definition';
import { Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { until as untilTrue } from '../test-kit/kit.ts';

const repository = new URL('../../../', import.meta.url).pathname;
const sessionKey = Buffer.alloc(32, 9);
/** Each test starts processes, which takes long on a slow machine. */
const limitMs = 180_000;
const until = <T>(look: () => T | Promise<T>) => untilTrue(look, limitMs);

const stops: (() => unknown)[] = [];
let simulator: Process;
beforeAll(() => {
  simulator = run('simulator', { SIMULATOR_PORT: '0' });
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
afterAll(() => end(simulator));

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
  return { child, output: () => output, exited };
}

async function end({ child, exited }: Process): Promise<void> {
  child.kill('SIGKILL');
  await exited;
}

/** The address that a process logs once it listens. */
function addressOf({ output }: Process): Promise<string> {
  return until(() => {
    const url = /"url":"(http:[^"]+)"/.exec(output())?.[1];
    if (!url) throw new Error(`no address yet: ${output()}`);
    return url;
  });
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
  const upstream = await addressOf(simulator);
  await fetch(`${upstream}/control/crossmark/reset`, { method: 'POST' });
  const startWorker = () => {
    const worker = run('worker', {
      REDIS_PREFIX: prefix,
      SESSION_KEY: sessionKey.toString('base64'),
      WORKER_HEALTH_PORT: '0',
      WORKER_UPSTREAMS: 'crossmark',
      CROSSMARK_BASE_URL: `${upstream}/crossmark`,
      CROSSMARK_BACKOFF_BASE_MS: '20',
      // No attempt times out on a slow machine.
      CROSSMARK_TIMEOUT_MS: '60000',
      READ_BACK_WAITS_MS: '20,40,60',
    });
    stops.push(() => end(worker));
    return worker;
  };
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
    until(async () => {
      const call = await view(id);
      if (call.status !== 'succeeded') throw new Error(JSON.stringify(call));
      return call;
    });
  const faults = (list: unknown[]) =>
    fetch(`${upstream}/control/crossmark/faults`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ faults: list }),
    });
  const ledger = async () =>
    (await (await fetch(`${upstream}/control/crossmark/ledger`)).json()) as {
      visits: { mPlanId: string; writes: number }[];
    };
  /** As if the lock of a dead worker had expired and the last check for stalled calls had noted it. */
  const loseLock = async (id: string) => {
    await redis.del(`${queue.toKey(id)}:lock`, queue.toKey('stalled-check'));
    await redis.sadd(queue.toKey('stalled'), id);
  };
  return { startWorker, schedule, succeeded, view, faults, ledger, loseLock };
}

describe('the worker process', { timeout: limitMs }, () => {
  test('schedules visits, reads back one that was answered 503, is ready, stops on SIGTERM', async () => {
    const { startWorker, schedule, succeeded, faults, ledger } = await setup();
    await faults([{ kind: 'status', status: 503, operation: 'schedule-event', times: 1, afterApply: true }]);
    const worker = startWorker();
    const doubted = await succeeded(await schedule('12345679'));
    expect(doubted.attempts.made).toBe(1);
    expect(doubted.history.map(({ outcome }) => outcome)).toEqual(['in_doubt', 'done']);
    const id = await schedule('12345678');
    expect((await succeeded(id)).result).toMatchObject({
      scheduleEventId: expect.any(String),
      repId: '123456',
    });
    expect((await ledger()).visits).toMatchObject([
      { mPlanId: '12345679', writes: 1 },
      { mPlanId: '12345678', writes: 1 },
    ]);
    const url = await addressOf(worker);
    await until(async () => expect((await fetch(`${url}/health/ready`)).status).toBe(200));
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(
      /recloser_calls_finished_total\{[^}]*operation="schedule-event",outcome="succeeded"[^}]*\} 2/,
    );
    expect(metrics).not.toContain(id);
    worker.child.kill('SIGTERM');
    expect(await worker.exited).toBe(0);
    expect(worker.output()).not.toContain('123456"');
  });

  test('killed during a write: another worker reads back and does not write again', async () => {
    const { startWorker, schedule, succeeded, faults, ledger, loseLock } = await setup();
    await faults([{ kind: 'hang', operation: 'schedule-event', times: 1, afterApply: true }]);
    const first = startWorker();
    const id = await schedule('12345680');
    await until(async () => expect((await ledger()).visits).toHaveLength(1));
    await end(first);
    await loseLock(id);
    startWorker();
    const call = await succeeded(id);
    expect(call.attempts).toMatchObject({ made: 1, stalls: 1 });
    expect(call.result).toMatchObject({ mPlanId: '12345680' });
    expect((await ledger()).visits).toMatchObject([{ writes: 1 }]);
  });

  test('names a missing variable and exits with status 1', async () => {
    const worker = run('worker', { NODE_ENV: 'production', SESSION_KEY: sessionKey.toString('base64') });
    expect(await worker.exited).toBe(1);
    expect(worker.output()).toContain('CROSSMARK_PASSWORD');
  });
});
