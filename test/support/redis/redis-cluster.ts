/** A cluster of three masters with one replica each, created with `redis-cli`. */
import { freePort } from '@recloser/local-stack/process/free-port';
import { expect } from 'vitest';
import { until } from '../stack.ts';
import { type RedisServer, redisCli, startRedisServer } from './redis-server.ts';

/** `url` is the address for Recloser. */
export type RedisCluster = {
  readonly url: string;
  readonly servers: readonly RedisServer[];
  /** The current master of a key, and its replica, if there is one. */
  holderOf(key: string): Promise<{ master: RedisServer; replica: RedisServer | undefined }>;
  /** Restarts a dead server with its folder and ports. */
  restart(server: RedisServer): Promise<void>;
};

const password = 'shards';
/** A master that is silent for this long counts as down. */
const nodeTimeoutMs = 2_000;

const settings = [
  ...['--requirepass', password, '--masterauth', password],
  ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf'],
  ...['--cluster-node-timeout', String(nodeTimeoutMs)],
  // Otherwise one lost shard would stop the whole cluster.
  ...['--cluster-require-full-coverage', 'no'],
];

/** Waits until every node reports a complete cluster and every replica follows its master. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const nodes = await Promise.all(Array.from({ length: 6 }, startNode));
  const servers = nodes.map(({ server }) => server);
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
  const options = ['--cluster-replicas', '1', '--cluster-yes', '-a', password, '--no-auth-warning'];
  const withBus = nodes.map(({ server, bus }) => `127.0.0.1:${server.port}@${bus}`);
  await redisCli(['--cluster', 'create', ...withBus, ...options]);
  const connections = servers.map((server) => server.connect());
  await until(async () => {
    for (const redis of connections) {
      expect(await redis.call('CLUSTER', 'INFO')).toContain('cluster_state:ok');
      expect(await redis.info('replication')).toMatch(/role:master|master_link_status:up/);
    }
  });
  return {
    url: `redis-cluster://:${password}@${addresses.slice(0, 3).join(',')}`,
    servers,
    async holderOf(key) {
      // Must not be a dead node.
      const redis = connections.find(({ status }) => status === 'ready');
      if (!redis) throw new Error('no node answers');
      const slot = Number(await redis.call('CLUSTER', 'KEYSLOT', key));
      const slots = (await redis.call('CLUSTER', 'SLOTS')) as [number, number, ...[string, number][]][];
      const shard = slots.find(([from, to]) => from <= slot && slot <= to);
      const [master, replica] = ((shard?.slice(2) as [string, number][] | undefined) ?? []).map(([, port]) =>
        servers.find((server) => server.port === port),
      );
      if (!master) throw new Error(`no master for ${key}`);
      return { master, replica };
    },
    async restart(server) {
      const node = nodes.find((candidate) => candidate.server === server);
      if (!node) throw new Error('not a server of this cluster');
      await startRedisServer({ ...optionsOf(node.bus), dir: server.dir, port: server.port });
    },
  };
}

async function startNode(): Promise<{ server: RedisServer; bus: number }> {
  const bus = await freePort();
  return { server: await startRedisServer(optionsOf(bus)), bus };
}

/** `bus` is the port of the cluster bus. Its default, 10,000 above the port, may be an ephemeral port in use. */
const optionsOf = (bus: number) => ({ args: [...settings, '--cluster-port', String(bus)], password });
