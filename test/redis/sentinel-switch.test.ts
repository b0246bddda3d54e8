/** A connection's reaction to a `+switch-master` message: while connecting, late, and about another master. */
import { createConnection, createServer, type Socket } from 'node:net';
import { connectRedis, type RedisRole } from '@recloser/runtime/redis/connection';
import { expect, onTestFinished, test, vi } from 'vitest';
import { sentinelUrl, startSentinelSet, untilLinked } from '../support/redis/redis-sentinel.ts';
import { type RedisServer, startRedisServer } from '../support/redis/redis-server.ts';
import { until } from '../support/stack.ts';

/** A proxy for a sentinel that can delay its messages. */
async function startHoldingProxy(targetPort: number) {
  const held: { client: Socket; said: Buffer[] }[] = [];
  let holding = false;
  const server = createServer((client) => {
    const target = createConnection(targetPort, '127.0.0.1');
    const line = { client, said: [] as Buffer[] };
    held.push(line);
    client.pipe(target);
    target.on('data', (chunk) => void (holding ? line.said.push(Buffer.from(chunk)) : client.write(chunk)));
    for (const socket of [client, target]) socket.on('error', () => {});
    client.on('close', () => target.destroy());
    target.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const { client } of held) client.destroy();
    server.close();
  });
  return {
    port: (server.address() as { port: number }).port,
    hold() {
      holding = true;
    },
    /** The connections so far. */
    count: () => held.length,
    release() {
      holding = false;
      for (const { client, said } of held) for (const chunk of said.splice(0)) client.write(chunk);
    },
  };
}

function connect(url: string, role: RedisRole) {
  const redis = connectRedis(url, { role, name: 'watching', log: { info: () => {}, warn: () => {} } });
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** Records a sentinel's failover messages. */
async function listenTo(sentinel: RedisServer): Promise<string[]> {
  const told: string[] = [];
  const redis = sentinel.connect();
  redis.on('message', (_channel: string, said: string) => told.push(said));
  await redis.subscribe('+switch-master');
  return told;
}

test.each<RedisRole>(['fast', 'worker', 'subscriber'])(
  'a %s connection that asks for the master while another is named gets to the new one',
  async (role) => {
    const set = await startSentinelSet({ sentinels: 1 });
    const [sentinel] = set.sentinels;
    if (!sentinel) throw new Error('no sentinel');
    const proxy = await startHoldingProxy(sentinel.port);
    const redis = connect(sentinelUrl([proxy.port]), role);
    const sentinelSide = sentinel.connect();
    await until(async () => {
      expect(redis.status).toBe('ready');
      expect(await sentinelSide.client('LIST')).toContain('sub=1');
    });

    proxy.hold();
    const before = proxy.count();
    await set.master.connect().call('CLIENT', 'KILL', 'TYPE', 'normal');
    await until(() => expect(proxy.count()).toBeGreaterThan(before));
    await sentinelSide.call('SENTINEL', 'FAILOVER', 'main');
    await until(async () => expect((await set.currentMaster()).port).not.toBe(set.master.port));
    proxy.release();

    const master = await set.currentMaster();
    await until(
      () => expect([redis.status, redis.stream.remotePort]).toEqual(['ready', master.port]),
      20_000,
    );
    expect(await redis.set('found', 'it')).toBe('OK');
  },
);

test('a connection to the new master stays open when the sentinels announce that master late', async () => {
  const set = await startSentinelSet({ replicas: 2, sentinels: 1, failoverTimeoutMs: 300_000 });
  const [sentinel] = set.sentinels as [RedisServer];
  const redis = connect(set.url, 'fast');
  await until(() => expect(redis.status).toBe('ready'));
  const told = await listenTo(sentinel);
  // A sentinel reports this only when the other replicas follow the new master. These cannot yet.
  await set.cutReplication();
  await set.master.kill();
  await until(async () => expect((await set.currentMaster()).port).not.toBe(set.master.port));
  const master = await set.currentMaster();
  await until(() => expect([redis.status, redis.stream.remotePort]).toEqual(['ready', master.port]));
  expect(told).toEqual([]);
  const closed = vi.fn();
  redis.on('close', closed);
  await set.mendReplication();
  await until(() => expect(told).toHaveLength(1));
  expect(await redis.ping()).toBe('PONG');
  expect(closed).not.toHaveBeenCalled();
});

test('the failover of another master is ignored', async () => {
  const set = await startSentinelSet({ sentinels: 1 });
  const [sentinel] = set.sentinels as [RedisServer];
  const redis = connect(set.url, 'fast');
  await until(() => expect(redis.status).toBe('ready'));
  const told = await listenTo(sentinel);
  const other = await startRedisServer();
  const replica = await startRedisServer({ args: ['--replicaof', `127.0.0.1 ${other.port}`] });
  await untilLinked(replica);
  const ask = sentinel.connect();
  await ask.call('SENTINEL', 'MONITOR', 'other', '127.0.0.1', other.port, 1);
  await until(async () =>
    expect((await ask.call('SENTINEL', 'REPLICAS', 'other')) as unknown[]).toHaveLength(1),
  );
  const closed = vi.fn();
  redis.on('close', closed);
  await ask.call('SENTINEL', 'FAILOVER', 'other');
  await until(() => expect(told).toEqual([expect.stringMatching(/^other /)]));
  expect(await redis.ping()).toBe('PONG');
  expect(closed).not.toHaveBeenCalled();
});
