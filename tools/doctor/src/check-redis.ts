/**
 * Is this Redis reachable, new enough and set up to keep calls, and do its clock and ours agree?
 *
 * Always true: reads only; the password of `REDIS_URL` appears nowhere.
 */

import { redisAdvice } from '@recloser/runtime/redis/advice';
import type { Redis } from '@recloser/runtime/redis/connection';
import { checkRedisSafety, type RedisSafety } from '@recloser/runtime/redis/safety';
import type { Cluster } from 'ioredis';
import { type Finding, fail, ok, warn } from './finding.ts';

/** `SET … NX GET`, which the idempotency keys need, came with it. */
const oldestVersion = 7;
/** Beyond it delays are plainly wrong, not just late. */
const clockFailMs = 5_000;

export type RedisCheck = {
  /** Of role `fast`, so that every command settles soon. */
  readonly redis: Redis;
  /** Hosts and ports, without user and password. */
  readonly address: string;
  readonly production: boolean;
  /** `REDIS_WAIT_REPLICAS`. */
  readonly waitReplicas: number;
  /** Why the last try to connect failed, if one did. */
  readonly lastError: () => Error | undefined;
};

/** Everything about Redis. The first line fails if it does not answer, and is then the only one. */
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
    return fail('redis', found, 'start Redis, or point REDIS_URL at the one that runs');
  const advice = redisAdvice(error) ?? 'look whether it is up, loading its file, or behind a firewall';
  return fail('redis', found, advice);
}

function checkVersion(address: string, info: string): Finding {
  const version = /^(?:valkey|redis)_version:(\S+)/m.exec(info)?.[1] ?? 'unknown';
  const name = info.includes('valkey_version') ? 'Valkey' : 'Redis';
  if (Number(version.split('.')[0]) >= oldestVersion) return ok('redis', `${name} ${version} at ${address}`);
  return fail(
    'redis',
    `${name} ${version} at ${address} is too old`,
    `use Redis ${oldestVersion}.0 or newer, or Valkey`,
  );
}

function checkSafety({ problems, memoryUsed }: RedisSafety, production: boolean): Finding[] {
  const findings = problems.map((problem) => fail('redis', problem, adviceFor(problem)));
  if (findings.length === 0) findings.push(ok('redis', 'never evicts, and writes an append-only file'));
  if (memoryUsed !== null) {
    const used = `uses ${Math.round(memoryUsed * 100)} % of maxmemory`;
    if (!problems.some((problem) => problem.includes('maxmemory, '))) findings.push(ok('redis', used));
  } else if (production) {
    const advice = 'set maxmemory, so that intake stops in time (at 80 %) instead of the system ending Redis';
    findings.push(warn('redis', 'no maxmemory is set', advice));
  }
  return findings;
}

function adviceFor(problem: string): string {
  if (problem.includes('maxmemory-policy'))
    return 'redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration file';
  if (problem.includes('appendonly'))
    return 'redis-cli CONFIG SET appendonly yes, and the same in its configuration file';
  if (problem.includes('cannot write')) return 'make room on its disk and look at its log';
  if (problem.includes('replica')) return 'point REDIS_URL at the master, or at the sentinels';
  return 'give Redis more memory, or let the backlog drain: intake stops meanwhile';
}

/** Null where the server does not tell: managed ones often forbid CONFIG. */
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
      return ok('redis', 'appendfsync always: a 202 means on disk');
    case 'everysec':
      return ok('redis', 'appendfsync everysec: a power loss may cost the last second of accepted calls');
    case null:
      return ok('redis', 'appendfsync is not told to us; ask the provider what a crash may cost');
    default:
      return warn(
        'redis',
        `appendfsync ${appendfsync}: a power loss may cost half a minute of accepted calls`,
        'redis-cli CONFIG SET appendfsync always (or everysec), and the same in its configuration file',
      );
  }
}

/** Too few: web would refuse every call as `storage_unknown`. */
function checkReplicas(info: string, wanted: number): Finding[] {
  if (wanted === 0) return [];
  const connected = Number(/^connected_slaves:(\d+)/m.exec(info)?.[1] ?? 0);
  const found = `${connected} replicas are connected, REDIS_WAIT_REPLICAS asks for ${wanted}`;
  if (connected >= wanted) return [ok('redis', found)];
  return [
    fail('redis', found, 'start more replicas, or lower REDIS_WAIT_REPLICAS: until then no call is accepted'),
  ];
}

function checkClock({ clockSkewMs, warnings }: RedisSafety): Finding {
  const skew = clockSkewMs ?? 0;
  if (warnings.length === 0) return ok('clock', `within ${Math.max(1, Math.abs(skew))} ms of Redis' clock`);
  const found = `this clock is ${Math.abs(skew)} ms ${skew > 0 ? 'ahead of' : 'behind'} Redis': retries and runAt go wrong by as much`;
  const advice = 'let NTP set both machines (chrony or systemd-timesyncd)';
  return Math.abs(skew) > clockFailMs ? fail('clock', found, advice) : warn('clock', found, advice);
}
