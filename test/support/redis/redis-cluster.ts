/** A cluster of three masters with a replica each, made with `redis-cli` as an operator makes it. */
import { freePort } from '@recloser/local-stack/process/free-port';
import { expect } from 'vitest';
import { until } from '../stack.ts';
import { type RedisServer, redisCli, startRedisServer } from './redis-server.ts';

/** The servers; `url` is the address for Recloser. */
export type RedisCluster = {
  readonly url: string;
  readonly servers: readonly RedisServer[];
  /** The master that holds a key now, and the replica that would take over, if there still is one. */
  holderOf(key: string): Promise<{ master: RedisServer; replica: RedisServer | undefined }>;
  /** Starts a dead server again, with its folder and ports. */
  restart(server: RedisServer): Promise<void>;
};

const password = 'shards';
/** A master that is silent for so long is taken for dead. */
const nodeTimeoutMs = 2_000;

const settings = [
  ...['--requirepass', password, '--masterauth', password],
  ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf'],
  ...['--cluster-node-timeout', String(nodeTimeoutMs)],
  // Without it one lost shard would stop all of them.
  ...['--cluster-require-full-coverage', 'no'],
];

/** Starts them and waits until every node calls the cluster whole and every replica follows. */
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
      // A dead one must not be asked.
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

/** `bus`: the port for the nodes among themselves; by itself 10,000 higher, where it may be somebody's for a moment. */
const optionsOf = (bus: number) => ({ args: [...settings, '--cluster-port', String(bus)], password });
