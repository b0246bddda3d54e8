/**
 * Gives every test run one Redis, and says which: the one of `REDIS_URL`, else a container (testcontainers) where
 * Docker runs, else an embedded one. Tests keep apart by prefix.
 *
 * Always true: no way to a Redis is an error with advice, never a skipped test.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startEmbeddedRedis } from '@recloser/local-stack/embedded-redis';
import { findRedis } from '@recloser/local-stack/find-redis';
import { runCommand } from '@recloser/local-stack/run-command';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string;
  }
}

type TestRedis = { readonly url: string; readonly description: string; stop(): Promise<void> };

/** Called by Vitest once per project; what it returns is called at the end. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await provideRedis();
  console.log(`${project.name} tests use ${redis.description}`);
  project.provide('redisUrl', redis.url);
  return () => redis.stop();
}

async function provideRedis(): Promise<TestRedis> {
  const url = process.env.REDIS_URL?.trim();
  if (url) return { url, description: 'the Redis of REDIS_URL', stop: async () => {} };
  const docker = await runCommand('docker', ['info', '--format', '{{.ServerVersion}}'], { timeoutMs: 5000 });
  return docker.status === 0 ? inContainer() : embedded();
}

async function inContainer(): Promise<TestRedis> {
  const { GenericContainer } = await import('testcontainers');
  const container = await new GenericContainer('redis:7')
    .withExposedPorts(6379)
    .withCommand(['redis-server', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'])
    .start();
  return {
    url: `redis://${container.getHost()}:${container.getMappedPort(6379)}`,
    description: 'a Redis container (testcontainers)',
    stop: async () => void (await container.stop()),
  };
}

async function embedded(): Promise<TestRedis> {
  const cacheDir = fileURLToPath(new URL('../../.cache', import.meta.url));
  const source = await findRedis({ env: process.env, cacheDir, say: (line) => console.log(line) });
  if (source.kind === 'url') throw new Error('REDIS_URL was set while the tests started');
  const dataDir = await mkdtemp(join(tmpdir(), 'recloser-test-redis-'));
  // What a test run acknowledged need not survive a power cut: everysec is faster.
  const redis = await startEmbeddedRedis({ dataDir, source, appendfsync: 'everysec' });
  const endHard = (): void => {
    if (redis.pid) process.kill(redis.pid, 'SIGKILL');
  };
  process.once('exit', endHard);
  return {
    url: redis.url,
    description: `an embedded Redis (${source.description}); Docker is not running`,
    async stop() {
      process.removeListener('exit', endHard);
      await redis.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
