/** A connection that is just being made anew while the sentinels tell of another master. */
import { createConnection, createServer, type Socket } from 'node:net';
import { connectRedis, type RedisRole } from '@recloser/runtime/redis';
import { expect, onTestFinished, test } from 'vitest';
import { sentinelUrl, startSentinelSet } from '../support/redis-sentinel.ts';
import { until } from '../support/stack.ts';

/** Stands before a sentinel and can keep its words back; the older connection hears them first. */
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

test.each<RedisRole>(['fast', 'worker', 'subscriber'])(
  'a %s connection that asks for the master while another is named gets to the new one',
  async (role) => {
    const set = await startSentinelSet({ sentinels: 1 });
    const [sentinel] = set.sentinels;
    if (!sentinel) throw new Error('no sentinel');
    const proxy = await startHoldingProxy(sentinel.port);
    const log = { info: () => {}, warn: () => {} };
    const redis = connectRedis(sentinelUrl([proxy.port]), { role, name: 'switched', log });
    onTestFinished(() => redis.disconnect());
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
