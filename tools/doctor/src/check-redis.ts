/** Checks that Redis is reachable, recent and safely configured, and that its clock matches this machine's. Reads only. */
import { redisAdvice } from '@recloser/runtime/redis/advice';
import type { Redis } from '@recloser/runtime/redis/connection';
import { checkRedisSafety, memoryLimitShare, type RedisSafety } from '@recloser/runtime/redis/safety';
import type { Cluster } from 'ioredis';
import { type Finding, fail, ok, warn } from './finding.ts';

/** The first version with `SET … NX GET`, which idempotency keys need. */
const oldestVersion = 7;
/** Above this, delays are wrong by more than a retry's backoff. */
const clockFailMs = 5_000;

export type RedisCheck = {
  /** Must have the role `fast`, so that every command settles soon. */
  readonly redis: Redis;
  /** Hosts and ports, without credentials. */
  readonly address: string;
  readonly production: boolean;
  /** `REDIS_WAIT_REPLICAS`. */
  readonly waitReplicas: number;
  /** The last connection error. */
  readonly lastError: () => Error | undefined;
};

/** Returns all findings about Redis, or a single failure if it does not answer. */
export async function checkRedis(options: RedisCheck): Promise<Finding[]> {
  const { redis, address, production, waitReplicas, lastError } = options;
  const safety = await checkRedisSafety(redis);
  if (!safety.reachable) return [unreachable(address, lastError())];
  const nodes = redis.isCluster ? (redis as unknown as Cluster).nodes('master') : [redis];
  const infos = await Promise.all(nodes.map((node) => node.info('everything')));
  const fsyncs = await Promise.all(nodes.map(readFsync));
  return [
    ...infos.map((info) => checkVersion(address, info)),
    ...checkSafety(safety, production),
    ...[...new Set(fsyncs)].map(checkFsync),
    ...infos.flatMap((info) => checkReplicas(info, waitReplicas)),
    checkClock(safety),
  ];
}

function unreachable(address: string, error: Error | undefined): Finding {
  const said = error?.message ?? 'no answer';
  const found = `${address} does not answer: ${said}`;
  if (/ECONNREFUSED/.test(said))
    return fail('redis', found, 'start Redis, or set REDIS_URL to a running one');
  const advice = redisAdvice(error) ?? 'check whether it is running, loading its data, or behind a firewall';
  return fail('redis', found, advice);
}

function checkVersion(address: string, info: string): Finding {
  const version = /^(?:valkey|redis)_version:(\S+)/m.exec(info)?.[1] ?? 'unknown';
  const name = info.includes('valkey_version') ? 'Valkey' : 'Redis';
  if (Number(version.split('.')[0]) >= oldestVersion) return ok('redis', `${name} ${version} at ${address}`);
  return fail(
    'redis',
    `${name} ${version} at ${address} is too old`,
    `upgrade to Redis ${oldestVersion}.0 or newer, or Valkey`,
  );
}

function checkSafety({ problems, memoryUsed }: RedisSafety, production: boolean): Finding[] {
  const findings = problems.map((problem) => fail('redis', problem, adviceFor(problem)));
  if (findings.length === 0) findings.push(ok('redis', 'evicts no keys and writes an append-only file'));
  if (memoryUsed !== null && memoryUsed < memoryLimitShare) {
    findings.push(ok('redis', `uses ${Math.round(memoryUsed * 100)} % of maxmemory`));
  } else if (memoryUsed === null && production) {
    const advice = `set maxmemory: intake then stops at ${memoryLimitShare * 100} % of it, before the system kills Redis`;
    findings.push(warn('redis', 'maxmemory is not set', advice));
  }
  return findings;
}

function adviceFor(problem: string): string {
  if (problem.includes('maxmemory-policy'))
    return 'run redis-cli CONFIG SET maxmemory-policy noeviction, and set it in the configuration file';
  if (problem.includes('appendonly'))
    return 'run redis-cli CONFIG SET appendonly yes, and set it in the configuration file';
  if (problem.includes('append-only file')) return "free space on Redis' disk and check its log";
  if (problem.includes('replica')) return 'set REDIS_URL to the master, or to the sentinels';
  return 'give Redis more memory, or wait until the backlog drains; intake is stopped until then';
}

/** Returns null if the server does not allow CONFIG, as managed ones often do not. */
async function readFsync(node: Redis): Promise<string | null> {
  try {
    const [, value = null] = (await node.config('GET', 'appendfsync')) as string[];
    return value;
  } catch {
    return null;
  }
}

function checkFsync(appendfsync: string | null): Finding {
  switch (appendfsync) {
    case 'always':
      return ok('redis', 'appendfsync always: a call is on disk when the API returns 202');
    case 'everysec':
      return ok('redis', 'appendfsync everysec: a power failure can lose the last second of accepted calls');
    case null:
      return ok('redis', 'appendfsync cannot be read; ask the provider what a crash can lose');
    default:
      return warn(
        'redis',
        `appendfsync ${appendfsync}: a power failure can lose 30 seconds of accepted calls`,
        'run redis-cli CONFIG SET appendfsync always (or everysec), and set it in the configuration file',
      );
  }
}

/** With too few replicas, the API answers every call with `storage_unknown`. */
function checkReplicas(info: string, wanted: number): Finding[] {
  if (wanted === 0) return [];
  const connected = Number(/^connected_slaves:(\d+)/m.exec(info)?.[1] ?? 0);
  const found = `${connected} replicas are connected, REDIS_WAIT_REPLICAS requires ${wanted}`;
  if (connected >= wanted) return [ok('redis', found)];
  return [
    fail('redis', found, 'start more replicas, or lower REDIS_WAIT_REPLICAS; until then no call is accepted'),
  ];
}

function checkClock({ clockSkewMs, warnings }: RedisSafety): Finding {
  const skew = clockSkewMs ?? 0;
  if (warnings.length === 0) return ok('clock', `within ${Math.max(1, Math.abs(skew))} ms of Redis' clock`);
  const found = `this machine's clock is ${Math.abs(skew)} ms ${skew > 0 ? 'ahead of' : 'behind'} Redis' clock: retries and runAt are off by as much`;
  const advice = 'synchronize both machines with NTP (chrony or systemd-timesyncd)';
  return Math.abs(skew) > clockFailMs ? fail('clock', found, advice) : warn('clock', found, advice);
}
