/** `npm run doctor` against healthy and failing servers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedRedis, startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { findRedis } from '@recloser/local-stack/redis/find-redis';
import { startWeb, visit } from '@recloser/web/test-kit/web-under-test';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { doctor, type Report, runDoctor } from '../support/doctor.ts';
import { postVisits, until } from '../support/stack.ts';
import { addressesOf, startSystem, type TestSystem } from '../support/system.ts';

const secrets = [
  'sesame-password',
  'swordfish-redis',
  Buffer.alloc(32, 5).toString('base64'),
  'admin-secret-1',
];

/** Returns the findings that are not `ok`, as short texts. */
const ills = ({ findings }: Report) =>
  findings.filter(({ status }) => status !== 'ok').map((one) => `${one.status} ${one.check}: ${one.found}`);

let dataDir: string;
let server: EmbeddedRedis;
let system: TestSystem;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'recloser-doctor-'));
  // Its own Redis: the tests misconfigure it.
  const cacheDir = join(import.meta.dirname, '../../.cache');
  const source = await findRedis({ env: { ...process.env, REDIS_URL: '' }, cacheDir });
  if (source.kind === 'url') throw new Error('a Redis of our own is needed');
  server = await startEmbeddedRedis({ dataDir, source });
  system = await startSystem({ redisUrl: server.url, prefix: 'recloser', workers: 2 });
});
afterAll(async () => {
  await system?.[Symbol.asyncDispose]();
  await server?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

/** The environment of the running apps. */
const healthy = (): Record<string, string> => ({
  REDIS_URL: server.url,
  ...addressesOf(system.simulator.url),
});

async function withRedis<T>(use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.url);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

describe('a healthy system', () => {
  test('has nothing to fix; the doctor checks every part and does not sign in', async () => {
    const logins = async () => (await system.api.ledger()).logins;
    const before = await logins();
    const report = await doctor(healthy());
    expect(ills(report)).toEqual([]);
    expect(report).toMatchObject({ code: 0, status: 'ok' });
    const texts = report.findings.map(({ check, found }) => `${check}: ${found}`);
    expect(texts).toEqual(
      expect.arrayContaining([
        'worker: the configuration is valid',
        expect.stringMatching(/^redis: (Redis|Valkey) \d+\.\d+\.\d+ at 127\.0\.0\.1:\d+$/),
        expect.stringMatching(/^clock: within \d+ ms/),
        'redis: appendfsync always: a call is on disk when the API returns 202',
        expect.stringMatching(/^crossmark: 127\.0\.0\.1:\d+ answers 404 over http/),
        'walmart-edr: 2 workers are running',
        'crossmark: breaker closed, queue running, consistent',
        expect.stringMatching(/^bullmq: one version/),
      ]),
    );
    expect(await logins()).toBe(before);
  });
});

describe('the program', () => {
  test('prints one line per finding and a summary, and exits with status 0', async () => {
    const { status, output } = await runDoctor(healthy());
    expect(output).toMatch(/^ok {4}web {2,}the configuration is valid$/m);
    expect(output).toMatch(/\n\n\d+ ok, 0 warnings, 0 to fix\n$/);
    expect(status).toBe(0);
  });

  test('prints JSON with --json, and exits with status 1 if anything needs fixing', async () => {
    const env = { ...healthy(), WORKER_CONCURRENCY: 'many' };
    const { status, output } = await runDoctor(env, '--json', '--apps', 'worker');
    expect(JSON.parse(output)).toMatchObject({
      status: 'fail',
      findings: expect.arrayContaining([expect.objectContaining({ status: 'fail', check: 'worker' })]),
    });
    expect(status).toBe(1);
  });

  test('prints its usage for an unknown argument, and exits with status 2', async () => {
    const { status, output } = await runDoctor({}, '--apps', 'cook');
    expect([status, output]).toEqual([2, expect.stringContaining('Usage: npm run doctor')]);
  });
});

describe('configuration', () => {
  test('reports bad values, missing secrets and misspelt names, and prints no secret', async () => {
    const report = await doctor({
      ...healthy(),
      NODE_ENV: 'production',
      SESSION_KEY: secrets[2] ?? '',
      API_KEYS: 'app:tooshort',
      ADMIN_PASSWORD: secrets[3] ?? '',
      CROSSMARK_USERNAME: 'somebody',
      CROSSMARK_PASWORD: secrets[0] ?? '',
      WALMART_EDR_BREAKER_RESET: '5',
      WORKER_CONCURRENCY: 'many',
      REDIS_HOST: 'elsewhere',
      KUBERNETES_SERVICE_HOST: '10.0.0.1',
      WEB_SERVICE_HOST: '10.0.0.2',
    });
    expect(report.code).toBe(1);
    expect(ills(report)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^fail web: API_KEYS/),
        expect.stringMatching(/^fail worker: WORKER_CONCURRENCY/),
        'warn variables: CROSSMARK_PASWORD is set, but nothing reads it',
        'warn variables: REDIS_HOST is set, but nothing reads it',
        'warn variables: WALMART_EDR_BREAKER_RESET is set, but nothing reads it',
        'warn upstreams: not checked',
      ]),
    );
    expect(report.findings.find(({ found }) => found.startsWith('CROSSMARK_PASWORD'))?.advice).toBe(
      'did you mean CROSSMARK_PASSWORD?',
    );
    expect(report.output).not.toContain('SERVICE_HOST');
    for (const secret of secrets) expect(report.output).not.toContain(secret);
  });

  test('requires no upstream credentials on a machine that runs only web', async () => {
    const production = {
      NODE_ENV: 'production',
      SESSION_KEY: secrets[2] ?? '',
      API_KEYS: `app:${'a'.repeat(64)}`,
    };
    const report = await doctor({ ...healthy(), ...production }, ['web']);
    expect(ills(report)).toEqual(['warn redis: maxmemory is not set']);
    expect(report.code).toBe(0);
  });
});

describe('upstreams', () => {
  test('distinguishes an unknown host, a closed port, no answer, no TLS and a 503', async () => {
    const ill = createServer((_request, response) => response.writeHead(503).end());
    const mute = createTcpServer(() => {});
    const ports = await Promise.all(
      [ill, mute].map(async (server) => {
        await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
        return (server.address() as AddressInfo).port;
      }),
    );
    const [illPort, mutePort] = ports;
    const try3 = async (crossmark: string, portal: string, login: string) =>
      ills(
        await doctor({
          ...healthy(),
          CROSSMARK_BASE_URL: crossmark,
          WALMART_EDR_BASE_URL: portal,
          WALMART_EDR_LOGIN_BASE_URL: login,
        }),
      ).filter((line) => !/redis|clock/.test(line));
    const [first, second] = await Promise.all([
      try3('http://no-such-host.invalid', 'http://127.0.0.1:1', `http://127.0.0.1:${mutePort}`),
      try3(`https://127.0.0.1:${illPort}`, `http://127.0.0.1:${illPort}`, 'http://127.0.0.1:1'),
    ]);
    expect(first).toEqual([
      expect.stringMatching(/^fail crossmark: .*host name not found/),
      expect.stringMatching(/^fail walmart-edr: .*connection refused \(ECONNREFUSED\)/),
      expect.stringMatching(/^fail walmart-edr: .*no answer within 8 s/),
    ]);
    expect(second).toEqual([
      expect.stringMatching(/^fail crossmark: .*no trusted TLS connection/),
      expect.stringMatching(/^warn walmart-edr: .*answers 503/),
      expect.stringMatching(/^fail walmart-edr: .*connection refused/),
    ]);
    ill.close();
    mute.close();
  });
});

describe('Redis', () => {
  test('without noeviction and an append-only file fails, and the doctor prints the commands that fix it', async () => {
    await withRedis(async (redis) => {
      await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
      await redis.config('SET', 'appendonly', 'no');
      await redis.config('SET', 'appendfsync', 'no');
      const report = await doctor(healthy());
      await redis.config('SET', 'maxmemory-policy', 'noeviction');
      await redis.config('SET', 'appendonly', 'yes');
      await redis.config('SET', 'appendfsync', 'always');
      expect(ills(report)).toEqual([
        'fail redis: maxmemory-policy is allkeys-lru, must be noeviction',
        expect.stringMatching(/^fail redis: appendonly is no/),
        expect.stringMatching(/^warn redis: appendfsync no/),
      ]);
      const advice = report.findings.flatMap((finding) => finding.advice ?? []).join('\n');
      expect(advice).toContain('CONFIG SET maxmemory-policy noeviction');
      expect(advice).toContain('CONFIG SET appendonly yes');
    });
  });

  test('that is nearly full fails', async () => {
    await withRedis(async (redis) => {
      const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
      await redis.config('SET', 'maxmemory', Math.round(used * 1.15));
      const report = await doctor(healthy());
      await redis.config('SET', 'maxmemory', '0');
      expect(ills(report)).toEqual([expect.stringMatching(/^fail redis: Redis uses \d+ % of maxmemory/)]);
    });
  });

  test('that refuses the password, or the connection, fails; the password is not printed', async () => {
    await withRedis(async (redis) => {
      await redis.config('SET', 'requirepass', 'right');
      const wrong = server.url.replace('//', `//:${secrets[1]}@`);
      const report = await doctor({ ...healthy(), REDIS_URL: wrong });
      const right = await doctor({ ...healthy(), REDIS_URL: wrong.replace(secrets[1] ?? '', 'right') });
      await redis.config('SET', 'requirepass', '');
      expect(ills(report)).toEqual([expect.stringMatching(/^fail redis: .*WRONGPASS/)]);
      expect(report.output).not.toContain(secrets[1]);
      expect(ills(right)).toEqual([]);
    });
    const closed = await doctor({ ...healthy(), REDIS_URL: 'redis://127.0.0.1:1' });
    expect(ills(closed)).toEqual([expect.stringMatching(/^fail redis: .*ECONNREFUSED/)]);
  });

  test.each([
    ['ahead of', 60_000, 'fail'],
    ['behind', -3_000, 'warn'],
  ])('whose clock this machine is %s is reported', async (word, ms, status) => {
    const { now } = Date;
    vi.spyOn(Date, 'now').mockImplementation(() => now() + ms);
    onTestFinished(() => void vi.restoreAllMocks());
    const report = await doctor(healthy());
    expect(ills(report)).toEqual([expect.stringMatching(`^${status} clock: .* ms ${word} Redis`)]);
    expect(report.code).toBe(status === 'fail' ? 1 : 0);
  });
});

describe('the state in Redis', () => {
  test('a hold is reported with its reason', async () => {
    // The breaker stays open during the test.
    const env = { CROSSMARK_BREAKER_RESET_MS: '600000' };
    await using ill = await startSystem({ redisUrl: server.url, env });
    ill.simulator.faults('crossmark', [{ kind: 'status', status: 503 }]);
    await postVisits(ill.api, 6);
    await until(async () => expect((await ill.api.upstream()).breaker.state).toBe('open'));
    expect(ills(await doctor({ ...healthy(), REDIS_PREFIX: ill.web.prefix }))).toEqual(
      expect.arrayContaining([expect.stringMatching(/^warn crossmark: held \(breaker\) until /)]),
    );
  });

  test('a pause without a hold is a failure if no worker runs', async () => {
    await using web = await startWeb({ redisUrl: server.url });
    for (let n = 0; n < 2; n += 1) await web.post('/v1/calls/crossmark/schedule-event', { input: visit });
    await web.redis.hset(`${web.prefix}:{crossmark}:crossmark:meta`, 'paused', '1');
    const report = await doctor({ ...healthy(), REDIS_PREFIX: web.prefix });
    expect(ills(report)).toEqual(
      expect.arrayContaining([
        'fail crossmark: no worker is running, and 2 calls wait',
        'fail crossmark: The queue is paused, but no hold is active.',
        'warn walmart-edr: no worker is running; no call waits',
      ]),
    );
    expect(report.code).toBe(1);
  });
});
