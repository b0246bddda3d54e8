import { randomUUID } from 'node:crypto';
import { upstreamRoot } from '@recloser/calls/call/keys';
import { runCommand } from '@recloser/local-stack/process/run-command';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';

/** Writes a worker as a backup contains it, last seen `msAgo` ms ago. */
async function seen(redis: Redis, prefix: string, upstream: string, msAgo: number): Promise<void> {
  const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
  const worker = { id: 'w1', capacity: 1, seenAt: seconds * 1000 + Math.floor(micros / 1000) - msAgo };
  await redis.hset(`${upstreamRoot(prefix, upstream)}:workers`, worker.id, JSON.stringify(worker));
}

test('after-restore does not take a worker in the backup for a running one, even if one upstream forgets it meanwhile', async () => {
  const url = inject('redisUrl');
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const prefix = `test-${randomUUID()}`;
  await seen(redis, prefix, 'crossmark', 1_000);
  // A worker is forgotten after 15 s of silence, which ends while after-restore watches.
  await seen(redis, prefix, 'walmart-edr', 12_000);
  const { status, output } = await runCommand(process.execPath, ['tools/after-restore/src/main.ts'], {
    cwd: new URL('../../', import.meta.url).pathname,
    env: { REDIS_URL: url, REDIS_PREFIX: prefix },
    timeoutMs: 60_000,
  });
  expect([status, output]).toEqual([0, expect.stringContaining('walmart-edr: 0 waiting writes')]);
});
