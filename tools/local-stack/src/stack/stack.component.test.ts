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

/** One stack for all: each test leaves it whole, but for the last one. */
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

  test('has all parts ready on free ports, and a key for sessions', async () => {
    expect(await status(`${stack.urls.web}/health/ready`)).toBe(200);
    expect(await status(`${stack.urls.admin}/health/ready`)).toBe(200);
    expect(await status(`${stack.urls.simulator}/control/crossmark`)).toBe(200);
    expect(workerNames(stack)).toEqual(['worker-1']);
    expect(readFileSync(join(dataDir, 'session-key'), 'utf8').trim()).toHaveLength(44);
  });

  test('takes one more worker, and leaves it down when it was killed on purpose', async () => {
    const second = await stack.addWorker();
    expect(workerNames(stack)).toEqual(['worker-1', 'worker-2']);
    await stack.kill(second);
    expect(workerNames(stack)).toEqual(['worker-1']);
  });

  test('starts a worker again that ended unasked', async () => {
    const [worker] = stack.workers;
    process.kill(worker?.pid ?? Number.NaN, 'SIGKILL');
    await worker?.exited;
    await expect.poll(() => workerNames(stack)).toEqual(['worker-1']);
    expect(stack.workers[0]?.pid).not.toBe(worker?.pid);
    expect(told).toContain(stack.workers[0]?.pid);
  });

  test('brings an app that was killed back at its old address', async () => {
    const { web } = stack;
    await stack.kill(web);
    await expect(fetch(stack.urls.web)).rejects.toThrow();
    await stack.revive(web);
    expect(stack.web).not.toBe(web);
    expect(await status(`${stack.urls.web}/health/ready`)).toBe(200);
  });

  test('lends its Redis to a second one, which ends cleanly and leaves it running', async () => {
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

  test('tells when an app ends unasked, and stops so that nothing is left', async () => {
    process.kill(stack.admin.pid ?? Number.NaN, 'SIGKILL');
    expect(await stack.failed).toContain('admin ended unexpectedly (SIGKILL)');
    await stack.stop();
    expect(workerNames(stack)).toEqual([]);
    expect(stack.redis?.pid).toBeUndefined();
    expect(stack.output().join('\n')).toContain('listen');
    await expect(fetch(stack.urls.web)).rejects.toThrow();
  });
});

test('a part that cannot start fails the whole start with its words, and stops the rest', async () => {
  const folder = newFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const pids: number[] = [];
  const failed = start(folder, {
    env: { WORKER_CONCURRENCY: 'many' },
    onProcesses: (all) => {
      pids.splice(0, pids.length, ...all);
    },
  });
  await expect(failed).rejects.toThrow(/worker-1 ended unexpectedly[\s\S]*WORKER_CONCURRENCY/);
  expect(pids).toHaveLength(4);
  expect(pids.filter(isAlive)).toEqual([]);
});
