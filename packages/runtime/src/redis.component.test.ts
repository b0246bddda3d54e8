import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { ConfigError } from './env.ts';
import { connectRedis, type Redis, type RedisRole } from './redis.ts';
import { checkRedisSafety, watchRedisSafety } from './redis-safety.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Note = (about: object, message: string) => void;
const silent: { info: Note; warn: Note } = { info: () => {}, warn: () => {} };

/** Like `once` of node:events, which would reject at the `error` events a lost connection brings. */
function happened(redis: Redis, event: 'close' | 'ready'): Promise<void> {
  return new Promise((resolve) => redis.once(event, () => resolve()));
}

function connect(url: string, role: RedisRole = 'fast', log = silent): Redis {
  const redis = connectRedis(url, { role, name: 'test', log });
  cleanups.push(() => redis.disconnect());
  return redis;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** A Redis of this test's own, to freeze, kill or misconfigure. */
async function ownRedis(
  args: string[] = [],
  port?: number,
): Promise<{ port: number; process: ChildProcess }> {
  const chosen = port ?? (await freePort());
  const base = ['--port', String(chosen), '--save', '', '--bind', '127.0.0.1', '--dir', '/tmp'];
  const server = spawn('redis-server', [...base, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  cleanups.push(() => server.kill('SIGKILL'));
  for await (const chunk of server.stdout) if (/Ready to accept|ready to accept/.test(String(chunk))) break;
  server.stdout.resume();
  return { port: chosen, process: server };
}

async function settleMs(act: () => Promise<unknown>): Promise<{ ms: number; error: unknown }> {
  const start = performance.now();
  const error = await act().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { ms: performance.now() - start, error };
}

describe('connectRedis', () => {
  test('refuses a malformed address without repeating it', () => {
    const act = () => connectRedis('http://user:secret@host', { role: 'fast', name: 'test', log: silent });
    expect(act).toThrow(ConfigError);
    expect(act).not.toThrow(/secret/);
  });

  test('a command before the first connection works, and the connection is named', async () => {
    const redis = connect(inject('redisUrl'));
    expect(await redis.ping()).toBe('PONG');
    expect(await redis.client('GETNAME')).toBe('test');
  });

  test('fast: with nothing listening each command rejects within 1.5 s', async () => {
    const redis = connect(`redis://127.0.0.1:${await freePort()}`);
    for (let round = 0; round < 3; round++) {
      const { ms, error } = await settleMs(() => redis.set('k', 'v'));
      expect(error).toBeInstanceOf(Error);
      expect(ms).toBeLessThan(1500);
    }
  });

  test('fast: with Redis killed each command rejects within 1.5 s, and works again when Redis is back', async () => {
    const { port, process } = await ownRedis();
    const redis = connect(`redis://127.0.0.1:${port}`);
    await redis.ping();
    const closed = happened(redis, 'close');
    process.kill('SIGKILL');
    await closed;
    const { ms, error } = await settleMs(() => redis.set('k', 'v'));
    expect(error).toBeInstanceOf(Error);
    expect(ms).toBeLessThan(1500);
    await ownRedis([], port);
    if (redis.status !== 'ready') await happened(redis, 'ready');
    expect(await redis.ping()).toBe('PONG');
  });

  test('fast: with Redis frozen each command and pipeline rejects within 1.5 s, and works again when it thaws', async () => {
    const { port, process } = await ownRedis();
    const redis = connect(`redis://127.0.0.1:${port}`);
    await redis.ping();
    process.kill('SIGSTOP');
    const results = await Promise.all([
      settleMs(() => redis.set('k', 'v')),
      settleMs(() => redis.eval('return 1', 0)),
      settleMs(async () => {
        const replies = await redis.pipeline().get('a').get('b').exec();
        throw replies?.[0]?.[0] ?? new Error('no error');
      }),
    ]);
    for (const { ms, error } of results) {
      expect(String(error)).toMatch(/timed out/);
      expect(ms).toBeLessThan(1500);
    }
    process.kill('SIGCONT');
    expect(await redis.ping()).toBe('PONG');
  });

  test('fast: a frozen Redis at the first connection does not hang a command either', async () => {
    const { port, process } = await ownRedis();
    process.kill('SIGSTOP');
    const { ms, error } = await settleMs(() => connect(`redis://127.0.0.1:${port}`).ping());
    expect(error).toBeInstanceOf(Error);
    expect(ms).toBeLessThan(1500);
    process.kill('SIGCONT');
  });

  test('fast: a command whose answer is lost is not sent again', async () => {
    const target = new URL(inject('redisUrl'));
    const proxy = await cuttingProxy(Number(target.port), 'INCR');
    const key = `runtime-test:${crypto.randomUUID()}`;
    const redis = connect(`redis://127.0.0.1:${proxy}`);
    await redis.ping();
    const ready = happened(redis, 'ready');
    await expect(redis.call('INCR', key)).rejects.toThrow();
    await ready;
    const direct = connect(inject('redisUrl'));
    expect(await direct.get(key)).toBe('1');
    await direct.del(key);
  });

  test('worker: a command waits for Redis to come back', async () => {
    const { port, process } = await ownRedis();
    const redis = connect(`redis://127.0.0.1:${port}`, 'worker');
    await redis.ping();
    const closed = happened(redis, 'close');
    process.kill('SIGKILL');
    await closed;
    const answer = redis.ping();
    await ownRedis([], port);
    expect(await answer).toBe('PONG');
  });

  test('subscriber: listens again after Redis was restarted', async () => {
    const { port, process } = await ownRedis();
    const subscriber = connect(`redis://127.0.0.1:${port}`, 'subscriber');
    await subscriber.subscribe('news');
    process.kill('SIGKILL');
    await happened(subscriber, 'close');
    await ownRedis([], port);
    await happened(subscriber, 'ready');
    const message = once(subscriber, 'message');
    const publisher = connect(`redis://127.0.0.1:${port}`);
    const timer = setInterval(() => void publisher.publish('news', 'hello').catch(() => {}), 20);
    cleanups.push(() => clearInterval(timer));
    expect(await message).toEqual(['news', 'hello']);
  });

  test('says once that Redis is gone and once that it is back, without the password', async () => {
    const { port, process } = await ownRedis(['--requirepass', 'xsecret']);
    const said: string[] = [];
    const note = (about: object, message: string) => void said.push(`${message} ${JSON.stringify(about)}`);
    const redis = connect(`redis://:xsecret@127.0.0.1:${port}`, 'fast', { info: note, warn: note });
    await redis.ping();
    process.kill('SIGKILL');
    for (let attempt = 0; attempt < 3; attempt++) await happened(redis, 'close');
    await ownRedis(['--requirepass', 'xsecret'], port);
    await happened(redis, 'ready');
    expect(said).toHaveLength(2);
    expect(said[0]).toContain(`127.0.0.1:${port}`);
    expect(said[1]).toContain('connected to Redis again');
    expect(said.join()).not.toContain('xsecret');
  });

  test('sentinel: finds the master', async () => {
    const { port } = await ownRedis();
    const config = `/tmp/recloser-sentinel-${port}.conf`;
    const { writeFileSync, rmSync } = await import('node:fs');
    const sentinelPort = await freePort();
    writeFileSync(
      config,
      `port ${sentinelPort}\nbind 127.0.0.1\ndir /tmp\nsentinel monitor main 127.0.0.1 ${port} 1\n`,
    );
    cleanups.push(() => rmSync(config, { force: true }));
    const sentinel = spawn('redis-server', [config, '--sentinel'], { stdio: ['ignore', 'pipe', 'ignore'] });
    cleanups.push(() => sentinel.kill('SIGKILL'));
    for await (const chunk of sentinel.stdout) if (/Sentinel ID is/.test(String(chunk))) break;
    sentinel.stdout.resume();
    const redis = connect(`redis-sentinel://127.0.0.1:${sentinelPort}/main`, 'worker');
    expect(await redis.info('server')).toContain(`tcp_port:${port}`);
  });
});

describe('a Redis Cluster', () => {
  async function ownCluster() {
    const nodes = `recloser-nodes-${crypto.randomUUID()}.conf`;
    const server = await ownRedis([
      '--cluster-enabled',
      'yes',
      '--cluster-announce-ip',
      '127.0.0.1',
      '--cluster-config-file',
      nodes,
    ]);
    cleanups.push(async () => (await import('node:fs')).rmSync(`/tmp/${nodes}`, { force: true }));
    const admin = connect(`redis://127.0.0.1:${server.port}`);
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await admin.call('CLUSTER', 'BUMPEPOCH');
    for (;;) if (String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) break;
    return server;
  }

  test('works, is checked node by node, and a frozen one rejects within 1.5 s', async () => {
    const { port, process } = await ownCluster();
    const redis = connect(`redis-cluster://127.0.0.1:${port}`);
    expect(redis.isCluster).toBe(true);
    await redis.set('recloser:{crossmark}:x', '1');
    expect(await redis.get('recloser:{crossmark}:x')).toBe('1');
    expect((await checkRedisSafety(redis)).problems).toContain(
      'appendonly is no, must be yes: accepted calls would be lost',
    );
    process.kill('SIGSTOP');
    const { ms, error } = await settleMs(() => redis.get('recloser:{crossmark}:x'));
    expect(error).toBeInstanceOf(Error);
    expect(ms).toBeLessThan(1500);
    process.kill('SIGKILL');
    await happened(redis, 'close');
    const gone = await settleMs(() => redis.get('recloser:{crossmark}:x'));
    expect(gone.error).toBeInstanceOf(Error);
    expect(gone.ms).toBeLessThan(1500);
  });
});

describe('checkRedisSafety', () => {
  test('a fit Redis is safe', async () => {
    const dir = `/tmp/recloser-safety-${crypto.randomUUID()}`;
    const { mkdirSync, rmSync } = await import('node:fs');
    mkdirSync(dir);
    cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
    const { port } = await ownRedis([
      '--appendonly',
      'yes',
      '--maxmemory-policy',
      'noeviction',
      '--dir',
      dir,
    ]);
    const safety = await checkRedisSafety(connect(`redis://127.0.0.1:${port}`));
    expect(safety).toMatchObject({
      reachable: true,
      safe: true,
      problems: [],
      warnings: [],
      memoryUsed: null,
    });
    expect(Math.abs(safety.clockSkewMs ?? Number.NaN)).toBeLessThan(500);
  });

  test('names eviction, a missing append-only file and full memory', async () => {
    const { port } = await ownRedis(['--maxmemory', '1mb', '--maxmemory-policy', 'allkeys-lru']);
    const safety = await checkRedisSafety(connect(`redis://127.0.0.1:${port}`));
    expect(safety.safe).toBe(false);
    expect(safety.problems.join('\n')).toMatch(
      /maxmemory-policy is allkeys-lru[\s\S]*appendonly is no[\s\S]*% of maxmemory/,
    );
    expect(safety.memoryUsed).toBeGreaterThan(0.8);
  });

  test('a Redis that is gone is a finding, not an exception', async () => {
    const safety = await checkRedisSafety(connect(`redis://127.0.0.1:${await freePort()}`));
    expect(safety).toMatchObject({ reachable: false, safe: false });
    expect(safety.problems[0]).toContain('Redis does not answer');
  });

  test('watching tells only what changed', async () => {
    const { port } = await ownRedis(['--maxmemory-policy', 'allkeys-lru']);
    const redis = connect(`redis://127.0.0.1:${port}`);
    const said: string[] = [];
    const note = (_: object, message: string) => void said.push(message);
    using watch = watchRedisSafety({ redis, intervalMs: 60_000, log: { info: note, warn: note } });
    expect(watch.current().safe).toBe(false);
    await watch.check();
    await watch.check();
    expect(watch.current().reachable).toBe(true);
    expect(said).toEqual(['Redis needs attention']);
  });
});

/** Passes bytes on, but drops the connection instead of the answer to the first `command`. */
async function cuttingProxy(redisPort: number, command: string): Promise<number> {
  const { connect: dial } = await import('node:net');
  let armed = true;
  const sockets = new Set<Socket>();
  const proxy: Server = createServer((client) => {
    const server = dial(redisPort, '127.0.0.1');
    let cut = false;
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    client.on('data', (data) => {
      if (armed && data.includes(command)) [cut, armed] = [true, false];
      server.write(data);
    });
    server.on('data', (data) => (cut ? client.destroy() : client.write(data)));
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return (proxy.address() as { port: number }).port;
}
