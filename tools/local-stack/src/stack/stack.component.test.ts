import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { isAlive } from '../redis/redis-lease.ts';
import { type Stack, type StackOptions, startStack } from './stack.ts';

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'stack-'));
}

function start(dataDir: string, options: Partial<StackOptions> = {}): Promise<Stack> {
  const env = { REDIS_URL: '', NODE_ENV: 'development', ADMIN_PASSWORD: 'only-for-tests', ...options.env };
  return startStack({ workers: 1, ...options, dataDir, env });
}

const status = async (url: string) => (await fetch(url, { redirect: 'manual' })).status;
const workerNames = ({ workers }: Stack) => workers.map(({ name }) => name);

/** The tests share one stack. Each leaves it complete, except for the last. */
describe('a running stack', () => {
  const dataDir = newFolder();
  let stack: Stack;
  let told: readonly number[] = [];

  beforeAll(async () => {
    stack = await start(dataDir, {
      restartWorkers: true,
      onProcesses: (pids) => {
        told = pids;
      },
    });
  });

  afterAll(async () => {
    await stack?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  test('has all apps ready on free ports, and a session key', async () => {
    expect(await status(`${stack.urls.web}/health/ready`)).toBe(200);
    expect(await status(`${stack.urls.admin}/health/ready`)).toBe(200);
    expect(await status(`${stack.urls.simulator}/control/crossmark`)).toBe(200);
    expect(workerNames(stack)).toEqual(['worker-1']);
    expect(readFileSync(join(dataDir, 'session-key'), 'utf8').trim()).toHaveLength(44);
  });

  test('adds a worker, and leaves it down after a kill', async () => {
    const second = await stack.addWorker();
    expect(workerNames(stack)).toEqual(['worker-1', 'worker-2']);
    await stack.kill(second);
    expect(workerNames(stack)).toEqual(['worker-1']);
  });

  test('restarts a worker that exits unexpectedly', async () => {
    const [worker] = stack.workers;
    process.kill(worker?.pid ?? Number.NaN, 'SIGKILL');
    await worker?.exited;
    await expect.poll(() => workerNames(stack)).toEqual(['worker-1']);
    expect(stack.workers[0]?.pid).not.toBe(worker?.pid);
    expect(told).toContain(stack.workers[0]?.pid);
  });

  test('starts a killed app again at its old address', async () => {
    const { web } = stack;
    await stack.kill(web);
    await expect(fetch(stack.urls.web)).rejects.toThrow();
    await stack.revive(web);
    expect(stack.web).not.toBe(web);
    expect(await status(`${stack.urls.web}/health/ready`)).toBe(200);
  });

  test('shares its Redis with a second stack, which stops cleanly and leaves Redis running', async () => {
    const folder = newFolder();
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const env = { REDIS_URL: stack.redisUrl, REDIS_PREFIX: 'other' };
    const second = await start(folder, { workers: 0, env });
    expect([second.redis, second.redisUrl]).toEqual([undefined, stack.redisUrl]);
    await second.stop();
    for (const child of [second.simulator, second.web, second.admin]) {
      expect([child.name, await child.exited]).toEqual([child.name, { code: 0, signal: null }]);
    }
    const redis = new Redis(stack.redisUrl);
    onTestFinished(() => redis.disconnect());
    expect(await redis.ping()).toBe('PONG');
  });

  test('a Redis of another installation is refused, before anything runs on it; its own is not, whenever it comes', async () => {
    const [mine, other] = [newFolder(), newFolder()];
    for (const folder of [mine, other])
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const env = { REDIS_URL: stack.redisUrl, REDIS_PREFIX: 'third' };
    const pids: number[] = [];
    const again = (dataDir: string) =>
      start(dataDir, {
        workers: 0,
        env,
        installationDir: dataDir,
        onProcesses: (all) => void pids.push(...all),
      });
    await (await again(mine)).stop();
    pids.splice(0);
    await expect(again(other)).rejects.toThrow(
      /127\.0\.0\.1:\d+ belongs to another installation[\s\S]*REDIS_URL[\s\S]*REDIS_PREFIX/,
    );
    expect(pids).toEqual([]);
    await (await again(mine)).stop();
  });

  test('reports an app that exits unexpectedly, and stops everything', async () => {
    process.kill(stack.admin.pid ?? Number.NaN, 'SIGKILL');
    expect(await stack.failed).toContain('admin exited unexpectedly (SIGKILL)');
    await stack.stop();
    expect(workerNames(stack)).toEqual([]);
    expect(stack.redis?.pid).toBeUndefined();
    expect(stack.output().join('\n')).toContain('listen');
    await expect(fetch(stack.urls.web)).rejects.toThrow();
  });
});

test('an app that cannot start fails the whole start with its output, and the rest stops', async () => {
  const folder = newFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const pids: number[] = [];
  const failed = start(folder, {
    env: { WORKER_CONCURRENCY: 'many' },
    onProcesses: (all) => {
      pids.splice(0, pids.length, ...all);
    },
  });
  await expect(failed).rejects.toThrow(/worker-1 exited unexpectedly[\s\S]*WORKER_CONCURRENCY/);
  expect(pids).toHaveLength(4);
  expect(pids.filter(isAlive)).toEqual([]);
});
