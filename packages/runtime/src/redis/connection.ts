/** Opens connections to Redis. Reconnecting never gives up. Passwords never appear in log lines. */
import { Cluster, Redis as IoRedis, type RedisOptions } from 'ioredis';
import { ConfigError } from '../env/env.ts';
import { parseRedisUrl, type RedisTarget } from '../env/redis-url.ts';
import type { Log } from '../observe/log.ts';
import { redisAdvice } from './advice.ts';
import type { RedisSecurity } from './security.ts';
import { WatchingSentinelConnector } from './sentinel-connector.ts';

/**
 * For `redis-cluster://` this is an ioredis `Cluster` (`isCluster` is true), with the same commands, events,
 * `duplicate`, `quit` and `disconnect`. Keys of one script must share a hash tag.
 */
export type Redis = IoRedis;

/**
 * How a connection behaves when Redis does not answer.
 *
 * - `fast`: requests wait for it, so each command settles within 1.5 s. Nothing is queued while disconnected and
 *   nothing is sent twice. A write that failed may have been stored: the caller must be able to repeat it.
 * - `worker`: for BullMQ workers. A command waits without limit and is sent again after a reconnect.
 * - `subscriber`: for pub/sub. Waits like `worker` and subscribes again after a reconnect.
 */
export type RedisRole = 'fast' | 'worker' | 'subscriber';

/** `name` appears in `CLIENT LIST`. */
type ConnectOptions = {
  readonly role: RedisRole;
  readonly name: string;
  readonly log: Log;
  /** See `redisSecurity`. */
  readonly security?: RedisSecurity;
};

type SharedOptions = Omit<RedisOptions, 'replyMapping'> & { readonly replyMapping?: 'legacy' };

/** Timeout of a command on a `fast` connection, in ms. With delays of the event loop it settles within 1.5 s. */
export const fastCommandMs = 1400;

/** Timeout of one sentinel before the next one is asked, in ms. */
const sentinelMs = 1000;

/** Opens a connection. Throws {@link ConfigError} on a malformed address. */
export function connectRedis(url: string, options: ConnectOptions): Redis {
  const parsed = parseRedisUrl(url);
  if (!parsed.ok) throw new ConfigError(`The configuration is not valid:\n  REDIS_URL: ${parsed.problem}`);
  const redis = open(parsed.target, options);
  report(redis, parsed.target, options);
  if (options.role === 'fast') {
    // Before the first connection, commands are queued up to their timeout, so that startup need not wait for it.
    redis.once('ready', () => {
      redis.options.enableOfflineQueue = false;
    });
  }
  return redis;
}

function open(target: RedisTarget, { role, name, security = {} }: ConnectOptions): Redis {
  const tls = target.tls ? { ...security.tls } : undefined;
  const shared: SharedOptions = {
    ...roleOptions(role),
    connectionName: name,
    // It made BullMQ slower.
    enableAutoPipelining: false,
    keepAlive: 10_000,
    connectTimeout: 5000,
    ...(target.username && { username: target.username }),
    ...(target.password && { password: target.password }),
    ...(tls && { tls }),
  };
  switch (target.kind) {
    case 'single':
      return new IoRedis({
        ...shared,
        ...target.node,
        db: target.db,
        retryStrategy,
        reconnectOnError: onReadOnly(role),
      });
    case 'sentinel':
      return new IoRedis({
        ...shared,
        sentinels: target.nodes.map((node) => ({ ...node })),
        name: target.master,
        db: target.db,
        enableTLSForSentinelMode: target.tls,
        ...(tls && { sentinelTLS: tls }),
        ...(security.sentinelPassword && { sentinelPassword: security.sentinelPassword }),
        sentinelRetryStrategy: retryStrategy,
        // Without it, an unresponsive sentinel blocks the others.
        sentinelCommandTimeout: sentinelMs,
        // Without it, a client may stay connected to a demoted master.
        Connector: WatchingSentinelConnector,
        retryStrategy,
        reconnectOnError: onReadOnly(role),
      });
    case 'cluster':
      return openCluster(target.nodes, role, shared);
  }
}

function roleOptions(role: RedisRole): SharedOptions {
  switch (role) {
    case 'fast':
      // 0 retries: a lost connection rejects pending commands instead of sending them again.
      // The socket timeout closes a dead connection, which TCP alone would keep for many minutes.
      return {
        commandTimeout: fastCommandMs,
        maxRetriesPerRequest: 0,
        autoResendUnfulfilledCommands: false,
        socketTimeout: 4000,
      };
    case 'worker':
      // Longer than BullMQ's longest blocking read (10 s).
      return { maxRetriesPerRequest: null, socketTimeout: 30_000 };
    case 'subscriber':
      // Runs only while a reply is pending: it covers the subscription, not the silence afterwards.
      return { maxRetriesPerRequest: null, socketTimeout: 4000 };
  }
}

/** Backs off to one second, in ms. Jitter keeps a fleet from reconnecting at once. */
function retryStrategy(times: number): number {
  return Math.min(50 * 2 ** Math.min(times - 1, 10), 1000) + Math.floor(Math.random() * 100);
}

/** After a failover the old master answers READONLY. Reconnects; roles that wait also send the command again (2). */
function onReadOnly(role: RedisRole): (error: Error) => boolean | 2 {
  return (error) => error.message.startsWith('READONLY') && (role === 'fast' ? true : 2);
}

function openCluster(
  nodes: readonly { host: string; port: number }[],
  role: RedisRole,
  shared: SharedOptions,
): Redis {
  const cluster = new BoundedCluster([...nodes], {
    redisOptions: shared,
    clusterRetryStrategy: retryStrategy,
    enableAutoPipelining: false,
    slotsRefreshTimeout: 2000,
  });
  cluster.commandMs = role === 'fast' ? fastCommandMs : undefined;
  return cluster as unknown as Redis;
}

/** ioredis starts a command's timeout when a node takes it. Here the timeout also covers waiting for the cluster. */
class BoundedCluster extends Cluster {
  commandMs: number | undefined;

  override sendCommand(...args: Parameters<Cluster['sendCommand']>): unknown {
    if (this.commandMs !== undefined) args[0].setTimeout(this.commandMs);
    return super.sendCommand(...args);
  }
}

/** Logs once when the connection is lost and once when it is back, not at each attempt. */
function report(redis: Redis, target: RedisTarget, { role, name, log }: ConnectOptions): void {
  const nodes = target.kind === 'single' ? [target.node] : target.nodes;
  const about = {
    redis: nodes.map(({ host, port }) => `${host}:${port}`).join(','),
    connection: `${name}/${role}`,
  };
  let lost = false;
  let logged: string | undefined;
  redis.on('error', (err) => {
    const advice = redisAdvice(err);
    // A new cause needs other advice, so it is logged too.
    if (lost && (advice === undefined || advice === logged)) return;
    [lost, logged] = [true, advice];
    const what = advice ? `Redis is not reachable: ${advice}` : 'Redis is not reachable';
    log.warn({ ...about, err }, `${what}; retrying`);
  });
  redis.on('close', () => {
    if (lost || redis.status === 'end') return;
    lost = true;
    log.warn(about, 'lost the connection to Redis; reconnecting');
  });
  redis.on('ready', () => {
    if (lost) log.info(about, 'reconnected to Redis');
    [lost, logged] = [false, undefined];
  });
}
