/**
 * Checks that Redis can keep calls: it refuses writes rather than evicts keys, writes an append-only file, and has
 * memory left. With full memory, workers could not even finish accepted calls.
 *
 * Reads only `INFO` and `TIME`, because managed Redis often forbids `CONFIG`.
 */
import type { Cluster, Redis } from 'ioredis';
import type { Log } from '../observe/log.ts';

/** `problems` make Redis unsafe; `warnings` do not. Both are sentences for people, without secrets. */
export type RedisSafety = {
  readonly reachable: boolean;
  readonly safe: boolean;
  readonly problems: string[];
  readonly warnings: string[];
  /** Used share of `maxmemory`, 0 to 1. Null without a limit, or if unknown. */
  readonly memoryUsed: number | null;
  /** This machine's clock minus Redis' clock, in ms. Null if unknown. */
  readonly clockSkewMs: number | null;
};

/** From this share of `maxmemory` on, the API accepts no calls. */
export const memoryLimitShare = 0.8;
const clockSkewLimitMs = 1000;

/** Checks the server, or every master of a cluster. Never rejects. */
export async function checkRedisSafety(redis: Redis): Promise<RedisSafety> {
  const cluster = redis as unknown as Cluster;
  try {
    // ioredis knows the nodes of a cluster only after a first command.
    if (cluster.isCluster) await cluster.ping();
    const nodes = cluster.isCluster ? cluster.nodes('master') : [redis];
    if (nodes.length === 0) return unreachable('no master of the Redis Cluster is connected');
    return combine(await Promise.all(nodes.map(checkNode)));
  } catch (error) {
    return unreachable(`Redis does not answer: ${error instanceof Error ? error.message : 'unknown error'}`);
  }
}

function unreachable(problem: string): RedisSafety {
  return {
    reachable: false,
    safe: false,
    problems: [problem],
    warnings: [],
    memoryUsed: null,
    clockSkewMs: null,
  };
}

async function checkNode(redis: Redis): Promise<RedisSafety> {
  const askedAt = Date.now();
  const [time, text] = await Promise.all([redis.time(), redis.info('everything')]);
  const answeredAt = Date.now();
  const info = parseInfo(text);
  const problems: string[] = [];
  const policy = info.get('maxmemory_policy');
  if (policy !== 'noeviction')
    problems.push(`maxmemory-policy is ${policy ?? 'unknown'}, must be noeviction`);
  if (info.get('aof_enabled') !== '1')
    problems.push('appendonly is no, must be yes: accepted calls would be lost');
  if (info.get('aof_last_write_status') === 'err')
    problems.push('Redis cannot write its append-only file: check its disk space');
  if (info.get('role') === 'slave') problems.push('this is a read-only replica: connect to the master');
  const max = Number(info.get('maxmemory') ?? 0);
  const memoryUsed = max > 0 ? Number(info.get('used_memory')) / max : null;
  if (memoryUsed !== null && memoryUsed >= memoryLimitShare) {
    problems.push(
      `Redis uses ${Math.round(memoryUsed * 100)} % of maxmemory, the limit is ${memoryLimitShare * 100} %`,
    );
  }
  const clockSkewMs = Math.round(
    (askedAt + answeredAt) / 2 - (Number(time[0]) * 1000 + Number(time[1]) / 1000),
  );
  // The skew is uncertain by half the duration of the request.
  const skewed = Math.abs(clockSkewMs) - (answeredAt - askedAt) / 2 > clockSkewLimitMs;
  const warnings = skewed
    ? [
        `this machine's clock is ${Math.abs(clockSkewMs)} ms ${clockSkewMs > 0 ? 'ahead of' : 'behind'} Redis': delayed calls run at the wrong time`,
      ]
    : [];
  return { reachable: true, safe: problems.length === 0, problems, warnings, memoryUsed, clockSkewMs };
}

function parseInfo(text: string): Map<string, string> {
  const lines = text.split('\r\n').filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

function combine(nodes: readonly RedisSafety[]): RedisSafety {
  const worst = (values: readonly (number | null)[]) =>
    values.reduce((a, b) => (b !== null && (a === null || Math.abs(b) > Math.abs(a)) ? b : a), null);
  const unique = (list: readonly string[]) => [...new Set(list)];
  return {
    reachable: nodes.every((node) => node.reachable),
    safe: nodes.every((node) => node.safe),
    problems: unique(nodes.flatMap((node) => node.problems)),
    warnings: unique(nodes.flatMap((node) => node.warnings)),
    memoryUsed: worst(nodes.map((node) => node.memoryUsed)),
    clockSkewMs: worst(nodes.map((node) => node.clockSkewMs)),
  };
}

type WatchOptions = {
  readonly redis: Redis;
  readonly log: Log;
  /** Default 5 s. */
  readonly intervalMs?: number;
};

type RedisSafetyWatch = {
  /** The last result. Unsafe until the first check has finished. */
  current(): RedisSafety;
  check(): Promise<RedisSafety>;
  stop(): void;
  [Symbol.dispose](): void;
};

/** Checks now and then periodically. Logs only when the result changes. */
export function watchRedisSafety({ redis, log, intervalMs = 5000 }: WatchOptions): RedisSafetyWatch {
  let latest = unreachable('Redis has not been checked yet');
  let logged = '';
  const check = async (): Promise<RedisSafety> => {
    latest = await checkRedisSafety(redis);
    // Numbers are ignored, because they differ at every check.
    const finding = [...latest.problems, ...latest.warnings].join('; ').replace(/\d+/g, '#');
    if (finding !== logged) {
      if (finding)
        log.warn({ problems: latest.problems, warnings: latest.warnings }, 'Redis needs attention');
      else log.info({}, 'Redis passes all safety checks');
    }
    logged = finding;
    return latest;
  };
  void check();
  const timer = setInterval(() => void check(), intervalMs);
  timer.unref();
  const stop = (): void => clearInterval(timer);
  return { current: () => latest, check, stop, [Symbol.dispose]: stop };
}
