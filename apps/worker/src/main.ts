/** Starts and stops a worker. The only file here with side effects on import. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { ConfigError } from '@recloser/runtime/env/env';
import { createLogger, type Logger } from '@recloser/runtime/observe/logger';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { startTracing } from '@recloser/runtime/observe/start-tracing';
import type { HealthCheck } from '@recloser/runtime/process/health';
import { ListenError, listen } from '@recloser/runtime/process/http-server';
import { runUntilSignal } from '@recloser/runtime/process/shutdown';
import { connectRedis, type RedisRole } from '@recloser/runtime/redis/connection';
import { leaveInstallationId } from '@recloser/runtime/redis/installation';
import { createReplicaConfirmation } from '@recloser/runtime/redis/replicas';
import { watchRedisSafety } from '@recloser/runtime/redis/safety';
import { redisSecurity } from '@recloser/runtime/redis/security';
import { writeOncePerTurn } from '@recloser/runtime/redis/write-once-per-turn';
import { createSealer, loadSessionKeys } from '@recloser/runtime/secrets/seal';
import { parseConfig, type WorkerConfig } from './config.ts';
import { createCallbacks } from './create-callbacks.ts';
import { createWorkers, stopWorkers } from './create-workers.ts';
import { breakerCheck, redisCheck } from './health-checks.ts';
import { createHealthApp } from './health-server.ts';
import { StopSwitch } from './queue/stop-switch.ts';
import { FailedTrimmer } from './upkeep/failed-trimmer.ts';
import { Upkeep } from './upkeep/upkeep.ts';

const trimIntervalMs = 3_600_000;
/** Added to `WORKER_STOP_MS`: time to give calls back and to close connections. */
const stopMarginMs = 10_000;

async function start(config: WorkerConfig): Promise<void> {
  const log = openLog(config);
  const sealer = createSealer(...loadSessionKeys({ ...config, dataDir: config.DATA_DIR }));
  const worker = identity();
  const { connections, replicas } = connect(config, log);
  // Warns if Redis may lose calls, and if this machine's clock is off, because delays depend on it.
  const safety = watchRedisSafety({ redis: connections.fast, log });
  const stop = new StopSwitch();
  const metrics = createMetrics('worker');
  const tracing = await startTracing(config, { service: 'recloser-worker', log });
  const callbacks = createCallbacks({ config, connections, workerId: worker.id, sealer, metrics, log, stop });
  const { STALE_TTL_SECONDS: staleTtlSeconds, WORKER_STOP_MS: deadlineMs } = config;
  const upkeep = new Upkeep({ redis: connections.fast, staleTtlSeconds, log });
  const parts = { config, connections, worker, sealer, metrics, tracing, log, stop };
  const workers = createWorkers({ ...parts, confirmWritten: replicas.confirm, callbacks, upkeep });
  const failedTrimmer = new FailedTrimmer({
    redis: connections.worker,
    upstreams: workers,
    retention: config.retention,
    intervalMs: trimIntervalMs,
    log,
  });
  const readiness = async (): Promise<readonly HealthCheck[]> => [
    await redisCheck(connections.fast, safety.current()),
    ...workers.flatMap((one) => one.checks()),
    ...(callbacks?.checks() ?? []),
  ];
  const details = () => workers.map((one) => breakerCheck(one.name, one.breaker.view));
  const server = await listen(createHealthApp({ metrics, readiness, details, stop }), {
    host: config.HOST,
    port: config.WORKER_HEALTH_PORT,
    portVariable: 'WORKER_HEALTH_PORT',
  });
  runUntilSignal({
    stop: async () => {
      // Deliveries stop together with the calls. Calls that finish meanwhile are still announced.
      const deliveries = callbacks ? [callbacks.deliveries] : [];
      await stopWorkers([...workers, ...deliveries], { stop, deadlineMs, log });
      await callbacks?.close();
      await Promise.all([failedTrimmer.stop(), upkeep.stop()]);
      safety.stop();
      await server.close(1_000);
      await tracing.stop();
      replicas.close();
      for (const redis of Object.values(connections)) redis.disconnect();
    },
    deadlineMs: deadlineMs + stopMarginMs,
    log,
  });
  log.info({ url: server.url, worker: worker.id }, 'worker health listens');
  // Waits for Redis without a timeout. Until then the process is live but not ready.
  await connections.worker.ping();
  await Promise.all(workers.map((one) => one.start()));
  callbacks?.start();
  failedTrimmer.start();
  upkeep.start();
  const upstreams = workers.map(({ name }) => name);
  log.info({ upstreams, concurrency: config.WORKER_CONCURRENCY }, 'taking calls');
}

function openLog({ LOG_LEVEL: level, LOG_PRETTY: pretty, NODE_ENV: environment }: WorkerConfig): Logger {
  return createLogger({ name: 'worker', level, pretty, environment });
}

function identity(): { id: string; host: string; pid: number } {
  const [host, pid] = [hostname(), process.pid];
  return { id: `${host}-${pid}-${randomBytes(3).toString('hex')}`, host, pid };
}

function connect(config: WorkerConfig, log: Logger) {
  const security = redisSecurity(config);
  const open = (role: RedisRole) =>
    connectRedis(config.REDIS_URL, { role, name: 'recloser-worker', log, security });
  const connections = { worker: open('worker'), fast: open('fast'), subscriber: open('subscriber') };
  for (const redis of [connections.worker, connections.fast]) writeOncePerTurn(redis);
  leaveInstallationId({ redis: connections.fast, prefix: config.REDIS_PREFIX, madeBy: 'worker', log });
  return {
    connections,
    replicas: createReplicaConfirmation(config, () => open('fast'), log),
  };
}

try {
  await start(parseConfig(process.env));
} catch (error) {
  const expected = error instanceof ConfigError || error instanceof ListenError;
  process.stderr.write(`worker cannot start. ${expected ? error.message : String((error as Error).stack)}\n`);
  process.exit(1);
}
