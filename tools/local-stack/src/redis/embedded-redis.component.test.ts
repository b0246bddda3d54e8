import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { freePort, isPortFree } from '../process/free-port.ts';
import { startEmbeddedRedis } from './embedded-redis.ts';
import { isAlive } from './redis-lease.ts';

const own = inject('ownRedis');
if (own.kind === 'none') throw new Error(own.problem);
const source = own;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'embedded redis '));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function withClient<T>(url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  try {
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

const set = (url: string, value: string) => withClient(url, (redis) => redis.set('key', value));
const get = (url: string) => withClient(url, (redis) => redis.get('key'));

describe('startEmbeddedRedis', () => {
  test('runs with safe settings, on loopback only', async () => {
    const dataDir = folder();
    await using redis = await startEmbeddedRedis({ dataDir, source });
    const config = await withClient(redis.url, (client) =>
      client.config('GET', 'append*', 'maxmemory-policy', 'bind', 'dir', 'save'),
    );
    expect(pairs(config as string[])).toMatchObject({
      appendonly: 'yes',
      appendfsync: 'always',
      'maxmemory-policy': 'noeviction',
      bind: '127.0.0.1',
      dir: dataDir,
      save: '',
    });
  });

  test('keeps data across a clean stop, and releases the folder', async () => {
    const dataDir = folder();
    const first = await startEmbeddedRedis({ dataDir, source });
    await set(first.url, 'kept');
    await first.stop();
    await first.stop();
    expect(existsSync(join(dataDir, 'redis-owner.json'))).toBe(false);
    await using second = await startEmbeddedRedis({ dataDir, source });
    expect(await get(second.url)).toBe('kept');
  });

  test('keeps data across a kill and restarts on the same port; the kill is expected', async () => {
    const unexpected: string[] = [];
    await using redis = await startEmbeddedRedis({
      dataDir: folder(),
      source,
      onUnexpectedExit: (why) => unexpected.push(why),
    });
    const { port, pid } = redis;
    await set(redis.url, 'kept');
    await redis.kill();
    expect(redis.pid).toBeUndefined();
    await redis.restart();
    expect(redis.port).toBe(port);
    expect(redis.pid).not.toBe(pid);
    expect(await get(redis.url)).toBe('kept');
    expect(unexpected).toEqual([]);
  });

  test('freezes and thaws, and stops even while frozen', async () => {
    const redis = await startEmbeddedRedis({ dataDir: folder(), source });
    redis.freeze();
    await withClient(redis.url, async (client) => {
      const answer = client.ping();
      redis.thaw();
      expect(await answer).toBe('PONG');
    });
    redis.freeze();
    await redis.stop();
  });

  test('reports an unexpected exit', async () => {
    const reason = Promise.withResolvers<string>();
    const redis = await startEmbeddedRedis({ dataDir: folder(), source, onUnexpectedExit: reason.resolve });
    cleanups.push(() => redis.stop());
    process.kill(redis.pid ?? Number.NaN, 'SIGKILL');
    expect(await reason.promise).toContain('SIGKILL');
  });

  test('refuses a second server on one data folder, in one process and across processes', async () => {
    const dataDir = folder();
    await using _redis = await startEmbeddedRedis({ dataDir, source });
    const second = startEmbeddedRedis({ dataDir, source });
    await expect(second).rejects.toMatchObject({
      code: 'data_dir_busy',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    const script = `
      import { startEmbeddedRedis } from ${JSON.stringify(join(import.meta.dirname, 'embedded-redis.ts'))};
      await startEmbeddedRedis(${JSON.stringify({ dataDir, source })}).catch((error) => console.log(error.code));`;
    expect(await runScript(script)).toContain('data_dir_busy');
  });

  test('reports, stops and replaces a Redis left over from a crash, and keeps its data', async () => {
    const dataDir = folder();
    const script = `
      import { startEmbeddedRedis } from ${JSON.stringify(join(import.meta.dirname, 'embedded-redis.ts'))};
      const redis = await startEmbeddedRedis(${JSON.stringify({ dataDir, source })});
      process.kill(process.pid, 'SIGKILL');`;
    await runScript(script);
    const note = JSON.parse(readFileSync(join(dataDir, 'redis-owner.json'), 'utf8')) as {
      redisPid: number;
      port: number;
    };
    expect(isAlive(note.redisPid)).toBe(true);
    await set(`redis://127.0.0.1:${note.port}`, 'kept');
    const said: string[] = [];
    await using redis = await startEmbeddedRedis({ dataDir, source, say: (line) => said.push(line) });
    expect(said.join()).toContain(`process ${note.redisPid}`);
    expect(isAlive(note.redisPid)).toBe(false);
    expect(await get(redis.url)).toBe('kept');
  });

  test('reports a port in use, and leaves the folder free', async () => {
    const dataDir = folder();
    const port = await freePort();
    const taken = createServer().listen(port, '127.0.0.1');
    cleanups.push(() => taken.close());
    expect(await isPortFree(port)).toBe(false);
    const start = startEmbeddedRedis({ dataDir, source, port });
    await expect(start).rejects.toMatchObject({
      code: 'redis_start_failed',
      message: expect.stringContaining(`port ${port} is in use`),
    });
    const again = await startEmbeddedRedis({ dataDir, source });
    await again.stop();
  });

  test('reports a server that cannot start, with its last output', async () => {
    const broken = {
      ...source,
      kind: 'command',
      file: '/nowhere/redis-server',
      env: {},
      description: 'nothing',
    } as const;
    await expect(startEmbeddedRedis({ dataDir: folder(), source: broken })).rejects.toMatchObject({
      code: 'redis_start_failed',
      message: expect.stringContaining('ENOENT'),
    });
  });
});

function pairs(list: readonly string[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (let index = 0; index < list.length; index += 2) result[list[index] ?? ''] = list[index + 1] ?? '';
  return result;
}

function runScript(script: string): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.once('exit', () => resolve(output));
  });
}
