/** Starts and stops the admin app. */
import { randomBytes } from 'node:crypto';
import { ConfigError } from '@recloser/runtime/env/env';
import { createLogger, type Logger } from '@recloser/runtime/observe/logger';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { listen } from '@recloser/runtime/process/http-server';
import { runUntilSignal } from '@recloser/runtime/process/shutdown';
import { connectRedis, type RedisRole } from '@recloser/runtime/redis/connection';
import { leaveInstallationId } from '@recloser/runtime/redis/installation';
import { redisSecurity } from '@recloser/runtime/redis/security';
import { createSealer, loadSessionKeys } from '@recloser/runtime/secrets/seal';
import { upstreamPolicy } from '@recloser/upstreams/contract/settings';
import { definitions } from '@recloser/upstreams/definitions';
import { createApp } from './app.ts';
import { UpstreamFeed } from './breakers/upstream-feed.ts';
import { readSnapshot } from './breakers/upstream-view.ts';
import { type AdminConfig, parseConfig } from './config.ts';
import { RetryRunner } from './retry/retry-runner.ts';
import { closeUpstream, openUpstream } from './upstream/admin-upstream.ts';
import { type AccountSource, Accounts } from './user/accounts.ts';
import { deriveKey } from './user/sessions.ts';

const signInTimeoutMs = 20_000;
const stopMs = 10_000;

async function start(config: AdminConfig): Promise<void> {
  const environment = config.NODE_ENV;
  const log = createLogger({
    name: 'admin',
    level: config.LOG_LEVEL,
    pretty: config.LOG_PRETTY,
    environment,
  });
  const prefix = config.REDIS_PREFIX;
  const sessionKeys = loadSessionKeys({ ...config, dataDir: config.DATA_DIR });
  // Cookies are signed with the newest key only. After a key change, people log in again.
  const [sessionKey] = sessionKeys;
  const policies = Object.values(definitions).map((definition) => ({
    definition,
    policy: upstreamPolicy(definition, process.env).breaker,
  }));
  const { redis, subscriber } = connect(config, log);
  const upstreams = policies.map((one) => openUpstream({ ...one, redis, prefix }));
  const channels = upstreams.map(({ root }) => `${root}:changed`);
  const feed = new UpstreamFeed({ read: () => readSnapshot(redis, upstreams), subscriber, channels, log });
  const runner = new RetryRunner({ redis, upstreams, log });
  const accounts = await Accounts.open(accountsOf(config), deriveKey(sessionKey, 'account-stamp'));
  const metrics = createMetrics('admin');
  const trustProxy = config.ADMIN_TRUST_PROXY;
  const app = createApp({
    redis,
    prefix,
    sessionKey,
    sealer: createSealer(...sessionKeys),
    accounts,
    upstreams,
    feed,
    metrics,
    log,
    trustProxy,
    signInTimeoutMs,
  });
  feed.start();
  runner.start();
  const server = await listen(app, {
    host: config.HOST,
    port: config.ADMIN_PORT,
    portVariable: 'ADMIN_PORT',
  });
  log.info({ url: server.url }, `admin listens on ${server.url}`);
  runUntilSignal({
    stop: async () => {
      feed.stop();
      await runner.stop();
      await server.close(1_000);
      await Promise.all(upstreams.map(closeUpstream));
      redis.disconnect();
      subscriber.disconnect();
    },
    deadlineMs: stopMs,
    log,
  });
}

function connect(config: AdminConfig, log: Logger) {
  const security = redisSecurity(config);
  const open = (role: RedisRole) =>
    connectRedis(config.REDIS_URL, { role, name: 'recloser-admin', log, security });
  const redis = open('fast');
  leaveInstallationId({ redis, prefix: config.REDIS_PREFIX, madeBy: 'admin', log });
  return { redis, subscriber: open('subscriber') };
}

/** Without accounts (development only), generates a password and prints it once, outside the log. */
function accountsOf({ accounts }: AdminConfig): readonly AccountSource[] {
  if (accounts.length > 0) return accounts;
  const password = randomBytes(12).toString('base64url');
  process.stdout.write(`\nNo accounts are configured. Log in as admin with the password ${password}\n\n`);
  return [{ kind: 'password', name: 'admin', role: 'admin', password }];
}

try {
  await start(parseConfig(process.env));
} catch (error) {
  const isExpected =
    error instanceof ConfigError ||
    (error as { code?: unknown }).code === 'listen_failed' ||
    (error as { code?: unknown }).code === 'config_invalid';
  process.stderr.write(
    `admin cannot start. ${isExpected ? (error as Error).message : String((error as Error).stack)}\n`,
  );
  process.exit(1);
}
