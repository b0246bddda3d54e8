import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
// @boundaries-ignore Tests beside the code start servers as all other tests do.
import { type RedisServer, startRedisServer } from '../../../../test/support/redis/redis-server.ts';
// @boundaries-ignore As above.
import { freePort } from '../../../../tools/local-stack/src/process/free-port.ts';
import { ConfigError } from '../env/env.ts';
import { connectRedis, fastCommandMs, type Redis, type RedisRole } from './connection.ts';
import { checkRedisSafety, watchRedisSafety } from './safety.ts';

type Note = (about: object, message: string) => void;
const silent: { info: Note; warn: Note } = { info: () => {}, warn: () => {} };

/** Like `once` of node:events, which would reject at the `error` events a lost connection brings. */
function happened(redis: Redis, event: 'close' | 'ready'): Promise<void> {
  return new Promise((resolve) => redis.once(event, () => resolve()));
}

function connect(url: string, role: RedisRole = 'fast', log = silent): Redis {
  const redis = connectRedis(url, { role, name: 'test', log });
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** A killed Redis: its address refuses connections. */
async function goneRedis(): Promise<RedisServer> {
  const server = await startRedisServer();
  await server.kill();
  return server;
}

const startAgain = ({ port }: RedisServer, args: string[] = []) => startRedisServer({ port, args });

const failureOf = (act: Promise<unknown>): Promise<unknown> =>
  act.then(
    () => undefined,
    (error) => error,
  );

/** The error of each act once the command timeout has passed, on a fake clock. */
async function afterCommandTime(...acts: (() => Promise<unknown>)[]): Promise<unknown[]> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const failures = acts.map((act) => failureOf(act()));
    vi.advanceTimersByTime(fastCommandMs);
    return await Promise.all(failures);
  } finally {
    vi.useRealTimers();
  }
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

  test('fast: the timeout of a command is below 1.5 s', () => {
    expect(fastCommandMs).toBeLessThan(1500);
  });

  test('fast: with nothing listening, each command rejects before its timeout', async () => {
    const redis = connect((await goneRedis()).url);
    for (let round = 0; round < 3; round++) {
      await expect(redis.set('k', 'v')).rejects.toThrow(/max retries|isn't writeable/);
    }
  });

  test('fast: with Redis killed, each command rejects before its timeout, and works again when Redis is back', async () => {
    const server = await startRedisServer();
    const redis = connect(server.url);
    await redis.ping();
    const closed = happened(redis, 'close');
    await server.kill();
    await closed;
    await expect(redis.set('k', 'v')).rejects.toThrow(/isn't writeable/);
    const ready = happened(redis, 'ready');
    await startAgain(server);
    await ready;
    expect(await redis.ping()).toBe('PONG');
  });

  test('fast: with Redis frozen, each command and pipeline rejects at its timeout, and works again when it thaws', async () => {
    const server = await startRedisServer();
    const redis = connect(server.url);
    await redis.ping();
    server.freeze();
    const failures = await afterCommandTime(
      () => redis.set('k', 'v'),
      () => redis.eval('return 1', 0),
      async () => {
        const replies = await redis.pipeline().get('a').get('b').exec();
        throw replies?.[0]?.[0];
      },
    );
    for (const failure of failures) expect(String(failure)).toMatch(/timed out/);
    server.thaw();
    expect(await redis.ping()).toBe('PONG');
  });

  test('fast: a Redis frozen before the first connection does not block a command', async () => {
    const server = await startRedisServer();
    server.freeze();
    const [failure] = await afterCommandTime(() => connect(server.url).ping());
    expect(String(failure)).toMatch(/timed out/);
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
    const server = await startRedisServer();
    const redis = connect(server.url, 'worker');
    await redis.ping();
    const closed = happened(redis, 'close');
    await server.kill();
    await closed;
    const answer = redis.ping();
    await startAgain(server);
    expect(await answer).toBe('PONG');
  });

  test('subscriber: listens again after Redis was restarted', async () => {
    const server = await startRedisServer();
    const subscriber = connect(server.url, 'subscriber');
    await subscriber.subscribe('news');
    const closed = happened(subscriber, 'close');
    await server.kill();
    await closed;
    await startAgain(server);
    const message = new Promise((resolve) => subscriber.once('message', (...heard) => resolve(heard)));
    const publisher = server.connect();
    await expect.poll(() => publisher.publish('news', 'hello')).toBe(1);
    expect(await message).toEqual(['news', 'hello']);
  });

  test('logs once that Redis is gone and once that it is back, without the password', async () => {
    const password = ['--requirepass', 'xsecret'];
    const server = await startRedisServer({ args: password });
    const said: string[] = [];
    const note = (about: object, message: string) => void said.push(`${message} ${JSON.stringify(about)}`);
    const url = `redis://:xsecret@127.0.0.1:${server.port}`;
    const redis = connect(url, 'fast', { info: note, warn: note });
    await redis.ping();
    let closes = 0;
    redis.on('close', () => {
      closes += 1;
    });
    await server.kill();
    await expect.poll(() => closes).toBeGreaterThanOrEqual(3);
    const ready = happened(redis, 'ready');
    await startAgain(server, password);
    await ready;
    expect(said).toHaveLength(2);
    expect(said[0]).toContain(`127.0.0.1:${server.port}`);
    expect(said[1]).toContain('reconnected to Redis');
    expect(said.join()).not.toContain('xsecret');
  });

  test('sentinel: finds the master', async () => {
    const master = await startRedisServer();
    const config = [`sentinel monitor main 127.0.0.1 ${master.port} 1`];
    const sentinel = await startRedisServer({ sentinel: true, config });
    const redis = connect(`redis-sentinel://127.0.0.1:${sentinel.port}/main`, 'worker');
    expect(await redis.info('server')).toContain(`tcp_port:${master.port}`);
  });
});

describe('a Redis Cluster', () => {
  async function startCluster(): Promise<RedisServer> {
    // Without one of its own the bus takes the port 10,000 above, which any outgoing connection may hold.
    const bus = ['--cluster-port', String(await freePort())];
    const cluster = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', ...bus];
    const server = await startRedisServer({ args: [...cluster, '--appendonly', 'no'] });
    const operator = server.connect();
    await operator.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await operator.call('CLUSTER', 'BUMPEPOCH');
    await expect.poll(() => operator.call('CLUSTER', 'INFO')).toContain('cluster_state:ok');
    return server;
  }

  test('works, is checked node by node, and rejects at the timeout when frozen', async () => {
    const server = await startCluster();
    const redis = connect(`redis-cluster://127.0.0.1:${server.port}`);
    expect(redis.isCluster).toBe(true);
    await redis.set('recloser:{crossmark}:x', '1');
    expect(await redis.get('recloser:{crossmark}:x')).toBe('1');
    expect((await checkRedisSafety(redis)).problems).toContain(
      'appendonly is no, must be yes: accepted calls would be lost',
    );
    server.freeze();
    const [frozen] = await afterCommandTime(() => redis.get('recloser:{crossmark}:x'));
    expect(String(frozen)).toMatch(/timed out/);
    const closed = happened(redis, 'close');
    await server.kill();
    await closed;
    await expect(redis.get('recloser:{crossmark}:x')).rejects.toThrow();
  });
});

describe('checkRedisSafety', () => {
  test('a correctly configured Redis is safe', async () => {
    const safety = await checkRedisSafety(connect((await startRedisServer()).url));
    expect(safety).toMatchObject({
      reachable: true,
      safe: true,
      problems: [],
      warnings: [],
      memoryUsed: null,
      clockSkewMs: expect.any(Number),
    });
  });

  test('names eviction, a missing append-only file and full memory', async () => {
    const risky = ['--appendonly', 'no', '--maxmemory', '1mb', '--maxmemory-policy', 'allkeys-lru'];
    const { url } = await startRedisServer({ args: risky });
    const safety = await checkRedisSafety(connect(url));
    expect(safety.safe).toBe(false);
    expect(safety.problems.join('\n')).toMatch(
      /maxmemory-policy is allkeys-lru[\s\S]*appendonly is no[\s\S]*% of maxmemory/,
    );
    expect(safety.memoryUsed).toBeGreaterThan(0.8);
  });

  test('an unreachable Redis is a problem, not an exception', async () => {
    const safety = await checkRedisSafety(connect((await goneRedis()).url));
    expect(safety).toMatchObject({ reachable: false, safe: false });
    expect(safety.problems[0]).toContain('Redis does not answer');
  });

  test('the watch logs only changes', async () => {
    const { url } = await startRedisServer({ args: ['--maxmemory-policy', 'allkeys-lru'] });
    const redis = connect(url);
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
  let armed = true;
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
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
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return (proxy.address() as AddressInfo).port;
}
