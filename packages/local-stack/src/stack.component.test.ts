import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, test } from 'vitest';
import { type StackOptions, startStack } from './stack.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: Partial<StackOptions> = {}) {
  const dataDir = mkdtempSync(join(tmpdir(), 'stack-'));
  cleanups.push(() => rmSync(dataDir, { recursive: true, force: true }));
  const env = { REDIS_URL: '', NODE_ENV: 'development', ADMIN_PASSWORD: 'only-for-tests', ...options.env };
  const stack = await startStack({ workers: 1, ...options, dataDir, env });
  cleanups.push(() => stack.stop());
  return { stack, dataDir };
}

const status = async (url: string) => (await fetch(url, { redirect: 'manual' })).status;

describe('startStack', { timeout: 60_000 }, () => {
  test('starts all parts on free ports, adds a worker, and stops so that nothing is left', async () => {
    const { stack, dataDir } = await start();
    expect(await status(`${stack.urls.web}/health/ready`)).toBe(200);
    expect(await status(`${stack.urls.simulator}/control/crossmark`)).toBe(200);
    expect(stack.workers).toHaveLength(1);
    const second = await stack.addWorker();
    expect(stack.workers.map(({ name }) => name)).toEqual(['worker-1', 'worker-2']);
    await stack.kill(second);
    expect(stack.workers.map(({ name }) => name)).toEqual(['worker-1']);
    expect(readFileSync(join(dataDir, 'session-key'), 'utf8').trim()).toHaveLength(44);
    await stack.stop();
    for (const child of [stack.simulator, stack.web, stack.admin]) {
      expect([child.name, await child.exited]).toEqual([child.name, { code: 0, signal: null }]);
    }
    expect(stack.redis?.pid).toBeUndefined();
    expect(stack.output().join('\n')).toContain('listen');
    await expect(fetch(stack.urls.web)).rejects.toThrow();
  });

  test('an app that was killed comes back at its old address', async () => {
    const { stack } = await start({ workers: 0 });
    const { web } = stack;
    await stack.kill(web);
    await expect(fetch(stack.urls.web)).rejects.toThrow();
    await stack.revive(web);
    expect(stack.web).not.toBe(web);
    expect(await status(`${stack.urls.web}/health/ready`)).toBe(200);
  });

  test('an app that ends unasked is told', async () => {
    const { stack } = await start({ workers: 0 });
    process.kill(stack.admin.pid ?? Number.NaN, 'SIGKILL');
    expect(await stack.failed).toContain('admin ended unexpectedly (SIGKILL)');
  });

  test('a worker that ends unasked is started again when that is wanted', async () => {
    const ids: (readonly number[])[] = [];
    const restarted = Promise.withResolvers<void>();
    const { stack } = await start({
      restartWorkers: true,
      onProcesses: (pids) => {
        ids.push(pids);
        if (ids.length > 4) restarted.resolve();
      },
    });
    const [worker] = stack.workers;
    process.kill(worker?.pid ?? Number.NaN, 'SIGKILL');
    await restarted.promise;
    expect(stack.workers.map(({ name }) => name)).toEqual(['worker-1']);
    expect(stack.workers[0]?.pid).not.toBe(worker?.pid);
    expect(ids.at(-1)).toContain(stack.workers[0]?.pid);
  });

  test('a part that cannot start fails the whole start with its words, and stops the rest', async () => {
    const failed = start({ env: { WORKER_CONCURRENCY: 'many' } });
    await expect(failed).rejects.toThrow(/worker-1 ended unexpectedly[\s\S]*WORKER_CONCURRENCY/);
  });

  test('a given Redis is used, and left running', async () => {
    const { stack: first } = await start({ workers: 0 });
    const { stack: second } = await start({
      workers: 0,
      env: { REDIS_URL: first.redisUrl, REDIS_PREFIX: 'other' },
    });
    expect(second.redis).toBeUndefined();
    expect(second.redisUrl).toBe(first.redisUrl);
    await second.stop();
    const redis = new Redis(first.redisUrl);
    expect(await redis.ping()).toBe('PONG');
    redis.disconnect();
  });
});
