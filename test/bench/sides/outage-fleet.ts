/**
 * A fleet of workers and an upstream that can be taken down: our web and workers, or plain BullMQ workers that call with
 * got and retry with BullMQ's exponential backoff. Each fleet has its own simulator, and both share one Redis.
 *
 * A fleet has started once a first call has succeeded, so that it is signed in before the outage.
 */
import { randomUUID } from 'node:crypto';
import { StackApi } from '@recloser/local-stack/stack/stack-api';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { type AppProcess, benchKey, ourEnv, startApp, startScript } from './app-process.ts';
import { untilTrue } from './until-true.ts';

/** `scale` multiplies reset time and backoff: 1 is production. The timeout of an attempt stays 10 s. */
export type FleetOptions = {
  readonly redisUrl: string;
  readonly name: string;
  readonly workers: number;
  readonly scale: number;
};

/** The fleet of one side. Times are in ms since the epoch. */
export type Fleet = {
  readonly simulator: StackApi;
  /** Posts `count` calls. */
  post(count: number): Promise<void>;
  /** When the breaker probes next. Null on the bare side, or while the breaker is closed. */
  retryAtMs(): Promise<number | null>;
  /** The number of failed calls. */
  failed(): Promise<number>;
  /** Resolves when a call succeeds again after Redis was emptied. */
  settle(): Promise<void>;
  stop(): Promise<void>;
};

/** The concurrency of a worker, on both sides. */
export const concurrency = 10;
/** Crossmark's defaults, for both sides. */
const attempts = 8;
const backoffMs = 1_000;
const resetMs = 60_000;
const timeoutMs = 10_000;
const keepSeconds = 24 * 60 * 60;

const headers = { authorization: `Bearer ${benchKey}`, 'content-type': 'application/json' };
/** Calls per request. */
const atOnce = 25;

const operation = 'list-qualified-reps';
const input = { mPlanId: '30000001', locationId: '150001' };

/** Our web and workers. */
export async function startOurFleet({ redisUrl, name, workers, scale }: FleetOptions): Promise<Fleet> {
  const upstream = await startApp('simulator', { NODE_ENV: 'production', HOST: '127.0.0.1' });
  const env = ourEnv({
    redisUrl,
    prefix: name,
    upstreamUrl: `${upstream.url}/crossmark`,
    more: {
      WORKER_CONCURRENCY: String(concurrency),
      CROSSMARK_MAX_ATTEMPTS: String(attempts),
      CROSSMARK_BACKOFF_BASE_MS: String(backoffMs * scale),
      CROSSMARK_BREAKER_RESET_MS: String(resetMs * scale),
      CROSSMARK_TIMEOUT_MS: String(timeoutMs),
    },
  });
  const [web, ...rest] = await Promise.all([
    startApp('web', env),
    ...Array.from({ length: workers }, () => startApp('worker', env)),
  ]);
  const simulator = new StackApi({ web: '', simulator: upstream.url });
  const ask = async () =>
    (await (await fetch(`${web.url}/v1/upstreams/crossmark`, { headers })).json()) as OurUpstream;
  const fleet: Fleet = {
    simulator,
    async post(count) {
      for (let left = count; left > 0; left -= atOnce) await postBatch(web.url, Math.min(left, atOnce));
    },
    async retryAtMs() {
      const { retryAt } = (await ask()).breaker;
      return retryAt === null ? null : Date.parse(retryAt);
    },
    failed: async () => (await ask()).queue.failed,
    async settle() {
      await untilTrue(async () => {
        const { breaker, holds, workers: alive } = await ask();
        return breaker.state === 'closed' && holds.length === 0 && alive === workers;
      });
      await callsThrough(fleet);
    },
    stop: () => stopAll([web, ...rest, upstream]),
  };
  await fleet.settle();
  return fleet;
}

/** Posts calls in one request. Repeats it, with the same keys, if web could not store all of them in time. */
async function postBatch(web: string, count: number): Promise<void> {
  const items = Array.from({ length: count }, () => ({
    upstream: 'crossmark',
    operation,
    input,
    idempotencyKey: randomUUID(),
  }));
  const body = JSON.stringify({ items });
  await untilTrue(async () => {
    const response = await fetch(`${web}/v1/calls:batch`, { method: 'POST', headers, body });
    const text = await response.text();
    if (response.status >= 400 && response.status !== 503) throw new Error(text.slice(0, 500));
    return response.status === 202;
  });
}

type OurUpstream = {
  readonly breaker: { readonly state: string; readonly retryAt: string | null };
  readonly holds: readonly unknown[];
  readonly queue: { readonly failed: number };
  readonly workers: number;
};

/** Plain BullMQ workers; calls are added by this process. */
export async function startBareFleet({ redisUrl, name, workers, scale }: FleetOptions): Promise<Fleet> {
  const upstream = await startApp('simulator', { NODE_ENV: 'production', HOST: '127.0.0.1' });
  const env = {
    REDIS_URL: redisUrl,
    QUEUE: name,
    UPSTREAM_URL: `${upstream.url}/crossmark`,
    CONCURRENCY: String(concurrency),
    TIMEOUT_MS: String(timeoutMs),
  };
  const started = await Promise.all(
    Array.from({ length: workers }, () => startScript('bare-caller.ts', env)),
  );
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue(name, { connection: redis });
  const opts = {
    attempts,
    backoff: { type: 'exponential', delay: backoffMs * scale },
    removeOnComplete: { age: keepSeconds, count: 10_000 },
    removeOnFail: false,
  };
  const fleet: Fleet = {
    simulator: new StackApi({ web: '', simulator: upstream.url }),
    async post(count) {
      await queue.addBulk(Array.from({ length: count }, () => ({ name: operation, data: { input }, opts })));
    },
    retryAtMs: async () => null,
    failed: () => queue.getFailedCount(),
    settle: () => callsThrough(fleet),
    async stop() {
      await queue.close();
      redis.disconnect();
      await stopAll([...started, upstream]);
    },
  };
  await fleet.settle();
  return fleet;
}

/** Posts a call and waits until the upstream has answered one more. */
async function callsThrough({ simulator, post }: Pick<Fleet, 'simulator' | 'post'>): Promise<void> {
  const before = (await answersOf(simulator)).length;
  await post(1);
  await untilTrue(async () => (await answersOf(simulator)).length > before);
}

/** Returns when the requests that succeeded arrived upstream, in ms since the epoch. */
export async function answersOf(simulator: StackApi): Promise<number[]> {
  const { requests } = await simulator.ledger();
  return requests
    .filter(({ operation: name, outcome }) => name === operation && outcome === 'answered 200')
    .map(({ at }) => at);
}

async function stopAll(processes: readonly AppProcess[]): Promise<void> {
  await Promise.all(processes.map((one) => one.stop()));
}
