/** Starts the web app and stops it: the only file here with side effects. */
import { readUpstreamState } from '@recloser/breaker/upstream-state';
import { upstreamRoot } from '@recloser/calls/keys';
import { listen } from '@recloser/runtime/http-server';
import { createLogger } from '@recloser/runtime/logger';
import { createMetrics } from '@recloser/runtime/metrics';
import { connectRedis } from '@recloser/runtime/redis';
import { memoryLimitShare, watchRedisSafety } from '@recloser/runtime/redis-safety';
import { createSealer, loadSessionKey } from '@recloser/runtime/seal';
import { runUntilSignal } from '@recloser/runtime/shutdown';
import { definitions } from '@recloser/upstreams/definitions';
import { upstreamPolicy } from '@recloser/upstreams/settings';
import { createApp } from './app.ts';
import { createBacklogGauge } from './backlog.ts';
import { loadConfig, type WebConfig } from './config.ts';
import { openQueue } from './open-queue.ts';
import { createCallWaiter } from './wait-for-call.ts';
import type { WebUpstream } from './web-deps.ts';
import { createWebMetrics } from './web-metrics.ts';

/** Long polls are ended at once; what is being stored has this long to finish. */
const graceMs = 5_000;
const deadlineMs = 10_000;
const safetyIntervalMs = 1_000;

async function start(config: WebConfig): Promise<void> {
  const { REDIS_PREFIX: prefix, REDIS_URL: url, NODE_ENV: environment } = config;
  const log = createLogger({ name: 'web', level: config.LOG_LEVEL, pretty: config.LOG_PRETTY, environment });
  const sealer = createSealer(loadSessionKey({ ...config, dataDir: config.DATA_DIR }));
  const policies = Object.values(definitions).map((definition) => ({
    name: definition.name,
    policy: upstreamPolicy(definition, process.env),
  }));
  const redis = connectRedis(url, { role: 'fast', name: 'recloser-web', log });
  const events = connectRedis(url, { role: 'worker', name: 'recloser-web-events', log });
  const watch = watchRedisSafety({ redis, log, intervalMs: safetyIntervalMs });
  const waiter = createCallWaiter({
    redis: events,
    now: async () => Number((await redis.time())[0]) * 1000,
    log,
  });
  const upstreams = policies.map(({ name, policy: { operations, maxBacklog } }): WebUpstream => {
    const queue = openQueue({ redis, prefix, upstream: name });
    return { name, operations, maxBacklog, root: upstreamRoot(prefix, name), queue };
  });
  const app = createApp({
    production: environment === 'production',
    prefix,
    redis,
    upstreams: new Map(upstreams.map((upstream) => [upstream.name, upstream])),
    apiKeys: config.apiKeys,
    sealer,
    waiter,
    backlog: createBacklogGauge(redis),
    memoryLimitShare,
    safety: watch.current,
    checkSafety: watch.check,
    readUpstreamState: ({ root }) => readUpstreamState({ redis, root }),
    metrics: createWebMetrics(createMetrics('web')),
    log,
  });
  const server = await listen(app, { host: config.HOST, port: config.WEB_PORT, portVariable: 'WEB_PORT' });
  log.info({ url: server.url, open: config.apiKeys.length === 0 }, `web listens on ${server.url}`);
  runUntilSignal({ stop, deadlineMs, log });

  async function stop(): Promise<void> {
    const closed = server.close(graceMs);
    await waiter.stop();
    await closed;
    watch.stop();
    await Promise.allSettled(upstreams.map(({ queue }) => queue.close()));
    redis.disconnect();
    events.disconnect();
  }
}

const expected = new Set<unknown>(['config_invalid', 'listen_failed']);

try {
  await start(loadConfig(process.env));
} catch (error) {
  const known = error instanceof Error && 'code' in error && expected.has(error.code);
  const reason = error instanceof Error ? (known ? error.message : error.stack) : String(error);
  process.stderr.write(`web cannot start. ${reason}\n`);
  process.exit(1);
}
