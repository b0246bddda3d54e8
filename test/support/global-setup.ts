/** Gives the whole test run one Redis, and prints which one. Each test uses its own prefix. */
import type { TestProject } from 'vitest/node';
import { findOwnRedis, type OwnRedis, startTestRedis, type TestRedis } from './redis/redis-for-tests.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string;
    ownRedis: OwnRedis;
  }
}

let redis: TestRedis | undefined;

/** Before the first test. Unit tests alone need no Redis. */
export async function setup(project: TestProject): Promise<void> {
  if (project.vitest.projects.every(({ name }) => name === 'unit')) return;
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  redis = await startTestRedis({ env: process.env, say });
  say(`Redis for the tests: ${redis.description}`);
  project.provide('redisUrl', redis.url);
  project.provide('ownRedis', await findOwnRedis({ env: process.env, say }));
}

/** After the last test. */
export async function teardown(): Promise<void> {
  await redis?.stop();
}
