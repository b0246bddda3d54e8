/** A master, its replicas and three sentinels, with short timeouts. */
import { expect } from 'vitest';
import { until } from '../stack.ts';
import { info, type RedisServer, startRedisServer } from './redis-server.ts';

/** `url` is the address for Recloser. */
export type SentinelSet = {
  readonly url: string;
  readonly master: RedisServer;
  readonly replicas: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  /** The current master according to the sentinels. */
  currentMaster(): Promise<RedisServer>;
  /** Disconnects the replicas from the master. They still answer and can be promoted. */
  cutReplication(): Promise<void>;
  /** Lets the replicas connect again, to their current master. */
  mendReplication(): Promise<void>;
};

const password = 'failover';
/** A master that is silent for this long counts as down. */
const downAfterMs = 2_000;

/** Waits until the sentinels agree and every replica follows the master. */
export async function startSentinelSet({
  replicas: count = 1,
  sentinels: watchers = 3,
  args = [],
  failoverTimeoutMs = 10_000,
}: {
  replicas?: number;
  sentinels?: number;
  args?: readonly string[];
  /** After this time a failover counts as complete, even if replicas do not follow yet. */
  failoverTimeoutMs?: number;
} = {}): Promise<SentinelSet> {
  const login = ['--requirepass', password, '--masterauth', password];
  const master = await startRedisServer({ args: [...login, ...args], password });
  const follow = ['--replicaof', `127.0.0.1 ${master.port}`];
  const replicas = await Promise.all(
    Array.from({ length: count }, () => startRedisServer({ args: [...login, ...args, ...follow], password })),
  );
  await Promise.all(replicas.map(untilLinked));
  const sentinels = await Promise.all(
    Array.from({ length: watchers }, () =>
      startSentinel(master.port, Math.min(watchers, 2), failoverTimeoutMs),
    ),
  );
  await Promise.all(sentinels.map((sentinel) => untilSentinelKnows(sentinel, watchers, count)));
  const servers = [master, ...replicas];
  const [asked] = sentinels;
  if (!asked) throw new Error('no sentinel was started');
  const ask = asked.connect();
  return {
    url: sentinelUrl(sentinels.map(({ port }) => port)),
    master,
    replicas,
    sentinels,
    async currentMaster() {
      const [, port] = (await ask.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')) as string[];
      const found = servers.find((server) => server.port === Number(port));
      if (!found) throw new Error(`no server of ours at ${port}`);
      return found;
    },
    async cutReplication() {
      for (const replica of replicas) {
        const redis = replica.connect();
        await redis.config('SET', 'masterauth', 'wrong');
        await redis.call('CLIENT', 'KILL', 'TYPE', 'master');
        await until(async () => expect(await info(redis, 'master_link_status')).toBe('down'));
      }
      const redis = master.connect();
      await until(async () => expect(await info(redis, 'connected_slaves')).toBe('0'));
    },
    async mendReplication() {
      for (const replica of replicas) await replica.connect().config('SET', 'masterauth', password);
    },
  };
}

/** The `REDIS_URL` for sentinels at these ports. */
export function sentinelUrl(ports: readonly number[]): string {
  return `redis-sentinel://:${password}@${ports.map((port) => `127.0.0.1:${port}`).join(',')}/main`;
}

async function startSentinel(
  masterPort: number,
  quorum: number,
  failoverTimeoutMs: number,
): Promise<RedisServer> {
  return startRedisServer({
    sentinel: true,
    config: [
      `sentinel monitor main 127.0.0.1 ${masterPort} ${quorum}`,
      `sentinel auth-pass main ${password}`,
      `sentinel down-after-milliseconds main ${downAfterMs}`,
      `sentinel failover-timeout main ${failoverTimeoutMs}`,
    ],
  });
}

async function untilSentinelKnows(sentinel: RedisServer, watchers: number, replicas: number): Promise<void> {
  const redis = sentinel.connect();
  await until(async () => {
    expect(await redis.call('SENTINEL', 'CKQUORUM', 'main')).toMatch(new RegExp(`^OK ${watchers}`));
    expect((await redis.call('SENTINEL', 'REPLICAS', 'main')) as unknown[]).toHaveLength(replicas);
  });
  redis.disconnect();
}

/** Waits until a replica follows its master. */
export async function untilLinked(replica: RedisServer): Promise<void> {
  const redis = replica.connect();
  await until(async () => expect(await info(redis, 'master_link_status')).toBe('up'));
  redis.disconnect();
}
