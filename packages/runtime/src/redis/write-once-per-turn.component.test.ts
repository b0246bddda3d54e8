import { createConnection, createServer, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { writeOncePerTurn } from './write-once-per-turn.ts';

/** A proxy to a real Redis that records incoming packets and can close its connections. */
async function startProxy(): Promise<{ port: number; packets: string[]; closeAll(): void }> {
  const { hostname, port = '6379' } = new URL(inject('redisUrl'));
  const packets: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const redis = createConnection(Number(port), hostname);
    sockets.push(client, redis);
    for (const socket of [client, redis]) socket.on('error', () => {});
    client.on('data', (chunk) => {
      packets.push(chunk.toString());
      redis.write(chunk);
    });
    redis.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const closeAll = () => {
    for (const socket of sockets.splice(0)) socket.destroy();
  };
  onTestFinished(() => {
    closeAll();
    server.close();
  });
  return { port: (server.address() as { port: number }).port, packets, closeAll };
}

async function connect(port: number): Promise<Redis> {
  const redis = new Redis({ host: '127.0.0.1', port, disableClientInfo: true, retryStrategy: () => 20 });
  redis.on('error', () => {});
  onTestFinished(() => redis.disconnect());
  writeOncePerTurn(redis);
  await expect.poll(() => redis.status).toBe('ready');
  return redis;
}

test('commands of one turn are sent together, each with its own reply or error', async () => {
  const { port, packets } = await startProxy();
  const redis = await connect(port);
  packets.length = 0;
  const replies = await Promise.allSettled([
    ...Array.from({ length: 20 }, (_, n) => redis.echo(`word ${n}`)),
    redis.call('NOSUCHCOMMAND'),
    redis.echo('last'),
  ]);
  expect(packets).toHaveLength(1);
  expect(replies.map((reply) => (reply.status === 'fulfilled' ? reply.value : 'refused'))).toEqual([
    ...Array.from({ length: 20 }, (_, n) => `word ${n}`),
    'refused',
    'last',
  ]);
});

test('works on the new connection after a reconnect', async () => {
  const { port, packets, closeAll } = await startProxy();
  const redis = await connect(port);
  // `once` of node:events would reject on the error of the lost connection.
  const again = new Promise<void>((ready) => redis.once('ready', ready));
  closeAll();
  await again;
  packets.length = 0;
  expect(await Promise.all([redis.echo('a'), redis.echo('b')])).toEqual(['a', 'b']);
  expect(packets).toHaveLength(1);
});
