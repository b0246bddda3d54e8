/**
 * Web, workers and simulator in the test's own process, on a given Redis, with their own key prefix by default. Faster to
 * start than `stack.ts`, which starts separate processes.
 */
import { hostname } from 'node:os';
import { StackApi } from '@recloser/local-stack/stack/stack-api';
import { createLogger } from '@recloser/runtime/observe/logger';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { connectRedis, type RedisRole } from '@recloser/runtime/redis/connection';
import { writeOncePerTurn } from '@recloser/runtime/redis/write-once-per-turn';
import { startWeb } from '@recloser/web/test-kit/web-under-test';
import { parseConfig } from '@recloser/worker/config';
import { createWorkers, stopWorkers } from '@recloser/worker/create-workers';
import { StopSwitch } from '@recloser/worker/queue/stop-switch';
import { Upkeep } from '@recloser/worker/upkeep/upkeep';
import { startSimulator, type TestSimulator } from './simulator.ts';
import { quick } from './stack.ts';

type Web = Awaited<ReturnType<typeof startWeb>>;
type Env = Readonly<Record<string, string>>;

export type TestSystem = {
  readonly web: Web;
  readonly simulator: TestSimulator;
  readonly api: StackApi;
  /** Stops every worker like SIGTERM. Idempotent. */
  stopWorkers(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export type SystemOptions = {
  readonly redisUrl: string;
  readonly prefix?: string;
  /** Default: 1. */
  readonly workers?: number;
  /** The environment of the workers. */
  readonly env?: Env;
};

/** Upstreams are simulated unless `env` has other addresses. */
export async function startSystem({
  redisUrl,
  prefix,
  workers = 1,
  env = {},
}: SystemOptions): Promise<TestSystem> {
  const simulator = await startSimulator();
  const web = await startWeb({ redisUrl, ...(prefix && { prefix }) });
  const shared = { ...quick, ...addressesOf(simulator.url), REDIS_URL: redisUrl, REDIS_PREFIX: web.prefix };
  const stops = await Promise.all(
    Array.from({ length: workers }, (_, n) => startWorker(web, { ...shared, ...env }, n + 1)),
  );
  const stopAll = async () => {
    await Promise.all(stops.splice(0).map((stop) => stop()));
  };
  return {
    web,
    simulator,
    api: new StackApi({ web: web.url, simulator: simulator.url }),
    stopWorkers: stopAll,
    async [Symbol.asyncDispose]() {
      simulator.faults('crossmark', []);
      await stopAll();
      await web[Symbol.asyncDispose]();
      await simulator.stop();
    },
  };
}

/** The variables that point every upstream at a simulator. */
export function addressesOf(simulatorUrl: string): Env {
  return {
    CROSSMARK_BASE_URL: `${simulatorUrl}/crossmark`,
    WALMART_EDR_BASE_URL: `${simulatorUrl}/walmart-edr`,
    WALMART_EDR_LOGIN_BASE_URL: `${simulatorUrl}/walmart-edr-login`,
  };
}

/** Assembles a worker like `apps/worker/src/main.ts`. Returns a function that stops it. */
async function startWorker(web: Web, env: Env, n: number): Promise<() => Promise<void>> {
  const config = parseConfig(env);
  const log = createLogger({ name: 'worker', level: 'silent' });
  const open = (role: RedisRole) => connectRedis(config.REDIS_URL, { role, name: 'recloser-worker', log });
  const connections = { worker: open('worker'), fast: open('fast'), subscriber: open('subscriber') };
  for (const redis of [connections.worker, connections.fast]) writeOncePerTurn(redis);
  const stop = new StopSwitch();
  const staleTtlSeconds = config.STALE_TTL_SECONDS;
  const upkeep = new Upkeep({ redis: connections.fast, staleTtlSeconds, log });
  const workers = createWorkers({
    config,
    connections,
    worker: { id: `worker-${n}`, host: hostname(), pid: process.pid },
    sealer: web.sealer,
    metrics: createMetrics('worker'),
    log,
    stop,
    upkeep,
  });
  await Promise.all(workers.map((worker) => worker.start()));
  upkeep.start();
  return async () => {
    await stopWorkers(workers, { stop, deadlineMs: 1_000, log });
    await upkeep.stop();
    for (const redis of Object.values(connections)) redis.disconnect();
  };
}
