/**
 * A queue that is first filled and then processed: ours through batches of the API, or the bare one through `addBulk`.
 * Both sides use one Redis and call the same stand-in for Crossmark.
 */
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { type AppProcess, benchKey, ourEnv, startApp, startScript } from './app-process.ts';
import { untilTrue } from './until-true.ts';

export type Operation = 'schedule-event' | 'list-qualified-reps';

/** One side. */
export type WorkedQueue = {
  /** Stores `count` calls. */
  fill(operation: Operation, count: number): Promise<void>;
  /** Starts the only worker. */
  startWorker(concurrency: number): Promise<AppProcess>;
  /** The number of succeeded calls. */
  succeeded(): Promise<number>;
  stop(): Promise<void>;
};

/** What both sides use. */
export type Ground = { readonly redisUrl: string; readonly standInUrl: string };

const perBatch = 1_000;
const patienceMs = 120_000;

export async function openOurs({ redisUrl, standInUrl }: Ground): Promise<WorkedQueue> {
  const envWith = (more: Record<string, string>) => ourEnv({ redisUrl, upstreamUrl: standInUrl, more });
  const web = await startApp('web', envWith({ CROSSMARK_MAX_BACKLOG: '10000000' }));
  const redis = new Redis(redisUrl);
  const headers = { authorization: `Bearer ${benchKey}`, 'content-type': 'application/json' };
  return {
    async fill(operation, count) {
      for (let first = 0; first < count; first += perBatch) {
        const numbers = Array.from({ length: Math.min(perBatch, count - first) }, (_, n) => first + n);
        const items = numbers.map((n) => ({
          upstream: 'crossmark',
          operation,
          input: inputOf(operation, n),
        }));
        const body = JSON.stringify({ items });
        const response = await fetch(`${web.url}/v1/calls:batch`, { method: 'POST', headers, body });
        if (response.status !== 202) throw new Error(`web answered ${response.status}`);
        await response.arrayBuffer();
      }
    },
    startWorker: (concurrency) => startApp('worker', envWith({ WORKER_CONCURRENCY: String(concurrency) })),
    succeeded: () => redis.zcard('recloser:{crossmark}:crossmark:completed'),
    async stop() {
      redis.disconnect();
      await web.stop();
    },
  };
}

export async function openBare({ redisUrl, standInUrl }: Ground): Promise<WorkedQueue> {
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue('crossmark', { connection: redis });
  const opts = {
    attempts: 8,
    backoff: { type: 'exponential', delay: 1_000 },
    removeOnComplete: { age: 24 * 60 * 60, count: 10_000 },
    removeOnFail: false,
  };
  return {
    async fill(operation, count) {
      const numbers = Array.from({ length: count }, (_, n) => n);
      await queue.addBulk(
        numbers.map((n) => ({ name: operation, data: { input: inputOf(operation, n) }, opts })),
      );
    },
    startWorker: (concurrency) =>
      startScript('bare-caller.ts', {
        REDIS_URL: redisUrl,
        QUEUE: 'crossmark',
        UPSTREAM_URL: standInUrl,
        CONCURRENCY: String(concurrency),
        TIMEOUT_MS: '10000',
      }),
    succeeded: () => redis.zcard('bull:crossmark:completed'),
    async stop() {
      await queue.close();
      redis.disconnect();
    },
  };
}

/** Resolves when `count` calls have succeeded. */
export function untilSucceeded(side: WorkedQueue, count: number): Promise<void> {
  const enough = async () => (await side.succeeded()) >= count;
  return untilTrue(enough, { timeoutMs: patienceMs, everyMs: 100 });
}

/** The input of the nth call. */
export function inputOf(operation: Operation, n: number): Record<string, string> {
  const visit = visitInput(n);
  if (operation === 'schedule-event') return visit;
  return { mPlanId: visit.mPlanId as string, locationId: visit.locationId as string };
}
