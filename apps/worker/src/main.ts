/** Starts and stops a worker: the only file with side effects here. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { ConfigError } from '@recloser/runtime/env';
import type { HealthCheck } from '@recloser/runtime/health';
import { ListenError, listen } from '@recloser/runtime/http-server';
import { createLogger, type Logger } from '@recloser/runtime/logger';
import { createMetrics } from '@recloser/runtime/metrics';
import { connectRedis, type Redis } from '@recloser/runtime/redis';
import { watchRedisSafety } from '@recloser/runtime/redis-safety';
import { createSealer, loadSessionKey } from '@recloser/runtime/seal';
import { runUntilSignal } from '@recloser/runtime/shutdown';
import { parseConfig, type WorkerConfig } from './config.ts';
import { createWorkers, stopWorkers } from './create-workers.ts';
import { breakerCheck, redisCheck } from './health-checks.ts';
import { createHealthApp } from './health-server.ts';
import { Janitor } from './janitor.ts';
import { StopSwitch } from './stop-switch.ts';

const janitorIntervalMs = 3_600_000;
/** On top of the calls' own deadline: giving back, closing, leaving the fleet. */
const stopMarginMs = 10_000;

async function start(config: WorkerConfig): Promise<void> {
  const log = createLogger({
    name: 'worker',
    level: config.LOG_LEVEL,
    pretty: config.LOG_PRETTY,
    environment: config.NODE_ENV,
  });
  const sealer = createSealer(loadSessionKey({ ...config, dataDir: config.DATA_DIR }));
  const worker = {
    id: `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`,
    host: hostname(),
    pid: process.pid,
  };
  const connections = connect(config.REDIS_URL, log);
  // Says so when Redis may lose calls, and when this machine's clock is off: delays use it.
  const safety = watchRedisSafety({ redis: connections.fast, log });
  const stop = new StopSwitch();
  const metrics = createMetrics('worker');
  const workers = createWorkers({ config, connections, worker, sealer, metrics, log, stop });
  const janitor = new Janitor({
    redis: connections.worker,
    upstreams: workers,
    retention: config.retention,
    intervalMs: janitorIntervalMs,
    log,
  });
  const readiness = async (): Promise<readonly HealthCheck[]> => [
    await redisCheck(connections.fast, safety.current()),
    ...workers.flatMap((one) => one.checks()),
  ];
  const details = () => workers.map((one) => breakerCheck(one.name, one.breaker.view));
  const server = await listen(createHealthApp({ metrics, readiness, details, stop }), {
    host: config.HOST,
    port: config.WORKER_HEALTH_PORT,
    portVariable: 'WORKER_HEALTH_PORT',
  });
  const deadlineMs = config.WORKER_STOP_MS;
  runUntilSignal({
    stop: async () => {
      await stopWorkers(workers, { stop, deadlineMs, log });
      await janitor.stop();
      safety.stop();
      await server.close(1_000);
      for (const redis of Object.values(connections)) redis.disconnect();
    },
    deadlineMs: deadlineMs + stopMarginMs,
    log,
  });
  log.info({ url: server.url, worker: worker.id }, 'worker health listens');
  // Waits for Redis, however long: until then the process lives and is not ready.
  await connections.worker.ping();
  await Promise.all(workers.map((one) => one.start()));
  janitor.start();
  log.info(
    { upstreams: workers.map(({ name }) => name), concurrency: config.WORKER_CONCURRENCY },
    'taking calls',
  );
}

function connect(url: string, log: Logger): { worker: Redis; fast: Redis; subscriber: Redis } {
  const as = (role: 'worker' | 'fast' | 'subscriber') =>
    connectRedis(url, { role, name: 'recloser-worker', log });
  return { worker: as('worker'), fast: as('fast'), subscriber: as('subscriber') };
}

try {
  await start(parseConfig(process.env));
} catch (error) {
  const expected = error instanceof ConfigError || error instanceof ListenError;
  process.stderr.write(`worker cannot start. ${expected ? error.message : String((error as Error).stack)}\n`);
  process.exit(1);
}
