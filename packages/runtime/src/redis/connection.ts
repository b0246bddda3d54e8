/**
 * Connections to Redis, in three roles that differ only in how they behave when Redis is gone or frozen.
 *
 *   fast        requests wait for it: each command settles within 1.5 s. Nothing is queued while disconnected and
 *               nothing is sent twice, so an error means "perhaps stored": the caller must be able to ask again.
 *   worker      BullMQ's workers: a command waits as long as it takes and is sent again after a reconnect.
 *   subscriber  pub/sub: waits like a worker, subscribes again after a reconnect.
 *
 * Always true: no automatic pipelining (it made BullMQ slower), reconnecting never gives up, and the password never
 * reaches a log line.
 */
import { Cluster, Redis as IoRedis, type RedisOptions } from 'ioredis';
import { ConfigError } from '../env/env.ts';
import { parseRedisUrl, type RedisTarget } from '../env/redis-url.ts';
import type { Log } from '../observe/log.ts';
import { redisAdvice } from './advice.ts';
import type { RedisSecurity } from './security.ts';
import { WatchingSentinelConnector } from './sentinel-connector.ts';

/**
 * A connection. For `redis-cluster://` it really is an ioredis `Cluster`: the same commands, events, `duplicate`,
 * `quit` and `disconnect`; `isCluster` tells. Keys used in one script must share a hash tag.
 */
export type Redis = IoRedis;

/** How a connection behaves when Redis does not answer. */
export type RedisRole = 'fast' | 'worker' | 'subscriber';

/** Who connects, and as what. `name` is shown by `CLIENT LIST`. */
export type ConnectOptions = {
  readonly role: RedisRole;
  readonly name: string;
  readonly log: Log;
  /** See `redisSecurity`. */
  readonly security?: RedisSecurity;
};

type SharedOptions = Omit<RedisOptions, 'replyMapping'> & { readonly replyMapping?: 'legacy' };

/** Longest time, in ms, a command of a `fast` connection takes to settle (1.5 s with the event loop's own delay). */
export const fastCommandMs = 1400;

/** Time for a sentinel's answer before the next one is asked, in ms. */
const sentinelMs = 1000;

/** Opens a connection; it connects by itself and stays at it. Throws {@link ConfigError} on a malformed address. */
export function connectRedis(url: string, options: ConnectOptions): Redis {
  const parsed = parseRedisUrl(url);
  if (!parsed.ok) throw new ConfigError(`The configuration is not valid:\n  REDIS_URL: ${parsed.problem}`);
  const redis = open(parsed.target, options);
  report(redis, parsed.target, options);
  if (options.role === 'fast') {
    // Until the first connection commands may wait (bounded by the timeout), so a start needs no ceremony.
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
        // A frozen sentinel would keep us from asking the next one.
        sentinelCommandTimeout: sentinelMs,
        // Without a watch a client may stay with a demoted master until its connection breaks.
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
      // 0 retries: a broken connection rejects what was under way instead of sending it again.
      // The socket timeout drops a connection into the void, which TCP alone would keep for many minutes.
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
      // Only what waits for an answer counts, which here is a subscription, not the silence after it.
      return { maxRetriesPerRequest: null, socketTimeout: 4000 };
  }
}

/** Soon, then every second: a Redis that is back should not wait for us. Jitter keeps a fleet apart. */
function retryStrategy(times: number): number {
  return Math.min(50 * 2 ** Math.min(times - 1, 10), 1000) + Math.floor(Math.random() * 100);
}

/** After a failover the old master answers READONLY: reconnect, and for those who wait, send again (2). */
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

/** ioredis starts a command's timeout only when a node takes it; here it also covers waiting for the cluster. */
class BoundedCluster extends Cluster {
  commandMs: number | undefined;

  override sendCommand(...args: Parameters<Cluster['sendCommand']>): unknown {
    if (this.commandMs !== undefined) args[0].setTimeout(this.commandMs);
    return super.sendCommand(...args);
  }
}

/** One line when the connection is lost and one when it is back, not one per attempt. */
function report(redis: Redis, target: RedisTarget, { role, name, log }: ConnectOptions): void {
  const nodes = target.kind === 'single' ? [target.node] : target.nodes;
  const about = {
    redis: nodes.map(({ host, port }) => `${host}:${port}`).join(','),
    connection: `${name}/${role}`,
  };
  let lost = false;
  let said: string | undefined;
  redis.on('error', (err) => {
    const advice = redisAdvice(err);
    // Another cause than the one that was told asks for something else.
    if (lost && (advice === undefined || advice === said)) return;
    [lost, said] = [true, advice];
    const what = advice ? `Redis is not reachable: ${advice}` : 'Redis is not reachable';
    log.warn({ ...about, err }, `${what}; trying again until it is`);
  });
  redis.on('close', () => {
    if (lost || redis.status === 'end') return;
    lost = true;
    log.warn(about, 'the connection to Redis is lost; connecting again');
  });
  redis.on('ready', () => {
    if (lost) log.info(about, 'connected to Redis again');
    [lost, said] = [false, undefined];
  });
}
