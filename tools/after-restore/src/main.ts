/**
 * `npm run after-restore`: run once after Redis is restored from a backup, before the first worker starts. Marks every
 * waiting write as possibly sent, so that workers look it up at the upstream before they send it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { defaultHeartbeatMs } from '@recloser/breaker/upstream-breaker';
import { readUpstreamState } from '@recloser/breaker/upstream-state';
import { queueOptions, upstreamRoot } from '@recloser/calls/call/keys';
import { markMaybeSent } from '@recloser/calls/write/maybe-sent';
import { ConfigError, envFields, parseEnv } from '@recloser/runtime/env/env';
import { connectRedis, type Redis } from '@recloser/runtime/redis/connection';
import { redisSecurity } from '@recloser/runtime/redis/security';
import type { UpstreamDefinition } from '@recloser/upstreams/contract/upstream';
import { definitions } from '@recloser/upstreams/definitions';
import { Queue } from 'bullmq';
import { z } from 'zod';

const upstreams: readonly UpstreamDefinition[] = Object.values(definitions);

/** Three heartbeats of a worker. */
const lookMs = 3 * defaultHeartbeatMs;

/** Counts the workers that send a heartbeat while we watch. Workers recorded in the backup send none. */
async function liveWorkers(redis: Redis, prefix: string): Promise<number> {
  const alive = await Promise.all(
    upstreams.map(({ name }) => sendingHeartbeats(redis, upstreamRoot(prefix, name))),
  );
  return new Set(alive.flat()).size;
}

/** Reads one upstream: a worker has the same id at each, and each forgets it at a different time. */
async function sendingHeartbeats(redis: Redis, root: string): Promise<string[]> {
  const { workers: before } = await readUpstreamState({ redis, root });
  if (before.length === 0) return [];
  const lastSeen = new Map(before.map(({ id, seenAt }) => [id, seenAt]));
  await pause(lookMs);
  const { workers } = await readUpstreamState({ redis, root });
  return workers.filter(({ id, seenAt }) => seenAt !== lastSeen.get(id)).map(({ id }) => id);
}

async function markUpstream(
  redis: Redis,
  prefix: string,
  { name, operations }: UpstreamDefinition,
): Promise<string> {
  const options = queueOptions(prefix, name);
  const queue = new Queue(options.name, { prefix: options.prefix, connection: redis });
  const isUnsafe = (operation: string) => operations[operation]?.effect === 'unsafe';
  const { marked, unreadable } = await markMaybeSent(queue, isUnsafe);
  await queue.close();
  const rest = unreadable === 0 ? '' : `. ${unreadable} could not be read and are unchanged`;
  return `${name}: ${marked} waiting writes are marked. Workers look them up at the upstream before sending them${rest}`;
}

async function main(): Promise<number> {
  const config = parseEnv(z.object(envFields), process.env);
  const { REDIS_URL: url, REDIS_PREFIX: prefix } = config;
  const log = { info: () => {}, warn: (_: object, text: string) => void process.stderr.write(`${text}\n`) };
  const security = redisSecurity(config);
  const redis = connectRedis(url, { role: 'fast', name: 'recloser-after-restore', log, security });
  try {
    const workers = await liveWorkers(redis, prefix);
    if (workers > 0) {
      process.stderr.write(
        `${workers} ${workers === 1 ? 'worker is' : 'workers are'} running. Stop all workers, then run this command again.\n`,
      );
      return 1;
    }
    for (const upstream of upstreams) {
      process.stdout.write(`${await markUpstream(redis, prefix, upstream)}\n`);
    }
    process.stdout.write('Done. You can start the workers.\n');
    return 0;
  } finally {
    redis.disconnect();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const { message } = error as Error;
  const what =
    error instanceof ConfigError
      ? message
      : `Not finished: ${message}. Fix this, then run the command again.`;
  process.stderr.write(`${what}\n`);
  process.exitCode = 1;
}
