/** Entry point of the web app: wires the dependencies, listens, and stops on a signal. */
import { readUpstreamState } from '@recloser/breaker/upstream-state';
import { upstreamRoot } from '@recloser/calls/call/keys';
import { readUnmet } from '@recloser/calls/call/need';
import { readQueueDepth } from '@recloser/calls/queue/depth';
import { LastGoodFinder } from '@recloser/calls/write/last-good';
import { withDuplicateWindow } from '@recloser/calls/write/same-wish';
import type { Env } from '@recloser/runtime/env/env';
import { createLogger, type Logger } from '@recloser/runtime/observe/logger';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { startTracing } from '@recloser/runtime/observe/start-tracing';
import { listen } from '@recloser/runtime/process/http-server';
import { runUntilSignal } from '@recloser/runtime/process/shutdown';
import { connectRedis, type Redis, type RedisRole } from '@recloser/runtime/redis/connection';
import { leaveInstallationId } from '@recloser/runtime/redis/installation';
import { createReplicaConfirmation } from '@recloser/runtime/redis/replicas';
import { memoryLimitShare, watchRedisSafety } from '@recloser/runtime/redis/safety';
import { redisSecurity } from '@recloser/runtime/redis/security';
import { writeOncePerTurn } from '@recloser/runtime/redis/write-once-per-turn';
import { createSealer, loadSessionKeys } from '@recloser/runtime/secrets/seal';
import { type UpstreamPolicy, upstreamPolicy } from '@recloser/upstreams/contract/settings';
import { definitions } from '@recloser/upstreams/definitions';
import { createApp } from './app.ts';
import { createLookAtCall } from './calls/look-at-call.ts';
import { createCallWaiter } from './calls/wait-for-call.ts';
import { parseConfig, type WebConfig } from './config.ts';
import { createKeyRing } from './http/key-ring.ts';
import { createRateLimit } from './http/rate-limit.ts';
import type { WebUpstream } from './http/web-deps.ts';
import { createWebMetrics } from './http/web-metrics.ts';
import { createBacklogGauge } from './intake/backlog.ts';
import { answerTimes } from './intake/intake.ts';
import { createNoteWanted } from './intake/wanted-results.ts';
import { createFleetMetrics, type FleetSource } from './upstreams/fleet-metrics.ts';
import { openQueue } from './upstreams/open-queue.ts';
import { createThroughputGauge } from './upstreams/throughput-gauge.ts';

/** Time for open requests to finish on shutdown. Long polls end immediately. */
const graceMs = 5_000;
const deadlineMs = 10_000;
const safetyIntervalMs = 1_000;

async function start(config: WebConfig): Promise<void> {
  const { REDIS_PREFIX: prefix, NODE_ENV: environment } = config;
  const log = createLogger({ name: 'web', level: config.LOG_LEVEL, pretty: config.LOG_PRETTY, environment });
  const sealer = createSealer(...loadSessionKeys({ ...config, dataDir: config.DATA_DIR }));
  const keys = createKeyRing({ keys: config.apiKeys, file: config.API_KEYS_FILE, log });
  const policies = readPolicies(process.env);
  const { redis, events, replicas } = connect(config, log);
  const watch = watchRedisSafety({ redis, log, intervalMs: safetyIntervalMs });
  const waiter = createCallWaiter({
    redis: events,
    now: async () => Number((await redis.time())[0]) * 1000,
    log,
  });
  const tracing = await startTracing(config, { service: 'recloser-web', log });
  const upstreams = openUpstreams(redis, config, policies);
  const readers = openReaders(redis);
  const app = createApp({
    ...readers,
    production: environment === 'production',
    prefix,
    upstreams: new Map(upstreams.map((upstream) => [upstream.name, upstream])),
    keys,
    rateLimit: createRateLimit({ redis, prefix, perMinute: config.RATE_LIMIT_PER_MINUTE }),
    callbackHosts: config.callbackHosts,
    confirmWritten: replicas.confirm,
    sealer,
    waiter,
    backlog: createBacklogGauge(redis),
    retention: config.retention,
    staleTtlSeconds: config.STALE_TTL_SECONDS,
    answerTimes,
    noteWanted: createNoteWanted(redis),
    memoryLimitShare,
    safety: watch.current,
    checkSafety: watch.check,
    metrics: openMetrics(redis, upstreams, watch.current),
    tracing,
    log,
  });
  const server = await listen(app, { host: config.HOST, port: config.WEB_PORT, portVariable: 'WEB_PORT' });
  log.info({ url: server.url, open: keys.open }, `web listens on ${server.url}`);
  runUntilSignal({ stop, deadlineMs, log });

  async function stop(): Promise<void> {
    const closed = server.close(graceMs);
    await waiter.stop();
    await closed;
    await tracing.stop();
    watch.stop();
    keys.stop();
    await Promise.allSettled(upstreams.map(({ queue }) => queue.close()));
    replicas.close();
    redis.disconnect();
    events.disconnect();
  }
}

function connect(config: WebConfig, log: Logger) {
  const security = redisSecurity(config);
  const open = (role: RedisRole, name: string) =>
    connectRedis(config.REDIS_URL, { role, name, log, security });
  const redis = open('fast', 'recloser-web');
  writeOncePerTurn(redis);
  leaveInstallationId({ redis, prefix: config.REDIS_PREFIX, madeBy: 'web', log });
  return {
    redis,
    events: open('worker', 'recloser-web-events'),
    replicas: createReplicaConfirmation(config, () => open('fast', 'recloser-web-replicas'), log),
  };
}

function openReaders(redis: Redis) {
  const readers = {
    redis,
    throughput: createThroughputGauge(redis),
    readUpstreamState: ({ root }: WebUpstream) => readUpstreamState({ redis, root }),
  };
  return { ...readers, lookAtCall: createLookAtCall(readers) };
}

/** Called before any connection is opened, so that a configuration error leaves none behind. */
function readPolicies(env: Env): readonly { readonly name: string; readonly policy: UpstreamPolicy }[] {
  return Object.values(definitions).map((definition) => ({
    name: definition.name,
    policy: upstreamPolicy(definition, env),
  }));
}

function openUpstreams(
  redis: Redis,
  { REDIS_PREFIX: prefix, DUPLICATE_WINDOW_SECONDS: window }: WebConfig,
  policies: ReturnType<typeof readPolicies>,
): readonly WebUpstream[] {
  return policies.map(({ name, policy: { operations: configured, maxBacklog } }) => {
    const operations = withDuplicateWindow(configured, window);
    const queue = openQueue({ redis, prefix, upstream: name });
    const root = upstreamRoot(prefix, name);
    const lastGood = new LastGoodFinder({ redis, root, queue });
    return { name, operations, maxBacklog, root, queue, lastGood };
  });
}

function openMetrics(redis: Redis, upstreams: readonly WebUpstream[], safety: FleetSource['safety']) {
  const metrics = createMetrics('web');
  const readOne = async ({ name, root, queue }: WebUpstream) => ({
    name,
    depth: await readQueueDepth({ redis, queue, root }),
    state: await readUpstreamState({ redis, root }),
    unmet: await readUnmet({ redis, root }),
  });
  const read = () => Promise.all(upstreams.map(readOne));
  return createWebMetrics(metrics, createFleetMetrics(metrics, { read, safety }));
}

const expected = new Set<unknown>(['config_invalid', 'listen_failed']);

try {
  await start(parseConfig(process.env));
} catch (error) {
  const known = error instanceof Error && 'code' in error && expected.has(error.code);
  const reason = error instanceof Error ? (known ? error.message : error.stack) : String(error);
  process.stderr.write(`web cannot start. ${reason}\n`);
  process.exit(1);
}
