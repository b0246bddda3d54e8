/** `npm run doctor` as an operator runs it: a real process against real servers, well and ill. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { doctor, type Report, runDoctor } from '../support/doctor.ts';
import { postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const secrets = [
  'sesame-password',
  'swordfish-redis',
  Buffer.alloc(32, 5).toString('base64'),
  'admin-secret-1',
];

/** The findings that are not `ok`, as short texts. */
const ills = ({ findings }: Report) =>
  findings.filter(({ status }) => status !== 'ok').map((one) => `${one.status} ${one.check}: ${one.found}`);

let running: TestStack;
beforeAll(async () => {
  running = await startTestStack({ workers: 2 });
});
afterAll(() => running[Symbol.asyncDispose]());

/** What the stack's own apps run with. */
function healthy(): Record<string, string> {
  const { simulator } = running.stack.urls;
  return {
    REDIS_URL: running.stack.redisUrl,
    CROSSMARK_BASE_URL: `${simulator}/crossmark`,
    WALMART_EDR_BASE_URL: `${simulator}/walmart-edr`,
    WALMART_EDR_LOGIN_BASE_URL: `${simulator}/walmart-edr-login`,
  };
}

async function withRedis<T>(use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(running.stack.redisUrl);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

describe('a healthy system', () => {
  test('has nothing to mend; every part is named; nobody was signed in', async () => {
    const logins = async () => (await running.api.ledger()).logins;
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
        'redis: appendfsync always: a 202 means on disk',
        expect.stringMatching(/^crossmark: 127\.0\.0\.1:\d+ answers 404 over http/),
        'walmart-edr: 2 workers are alive',
        'crossmark: breaker closed, queue running: they agree',
        expect.stringMatching(/^bullmq: one version/),
      ]),
    );
    expect(await logins()).toBe(before);
  });

  test('as text: one line each and a sum', async () => {
    const { status, output } = await runDoctor(healthy());
    expect(output).toMatch(/^ok {4}web {2,}the configuration is valid$/m);
    expect(output).toMatch(/\n\n\d+ ok, 0 to look at, 0 to mend\n$/);
    expect(status).toBe(0);
  });

  test('an argument it does not know ends with 2 and the usage', async () => {
    const { status, output } = await runDoctor({}, '--apps', 'cook');
    expect([status, output]).toEqual([2, expect.stringContaining('usage: npm run doctor')]);
  });
});

describe('configuration', () => {
  test('bad values, missing secrets and misspelt names are named; no secret is repeated', async () => {
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
        'warn variables: CROSSMARK_PASWORD is set, and nothing reads it',
        'warn variables: REDIS_HOST is set, and nothing reads it',
        'warn variables: WALMART_EDR_BREAKER_RESET is set, and nothing reads it',
        'warn upstreams: not tried',
      ]),
    );
    expect(report.findings.find(({ found }) => found.startsWith('CROSSMARK_PASWORD'))?.advice).toBe(
      'did you mean CROSSMARK_PASSWORD?',
    );
    expect(report.output).not.toContain('SERVICE_HOST');
    for (const secret of secrets) expect(report.output).not.toContain(secret);
  });

  test('on a machine that runs web only, the credentials of upstreams are not asked for', async () => {
    const production = {
      NODE_ENV: 'production',
      SESSION_KEY: secrets[2] ?? '',
      API_KEYS: `app:${'a'.repeat(64)}`,
    };
    const report = await doctor({ ...healthy(), ...production }, '--apps', 'web');
    expect(ills(report)).toEqual(['warn redis: no maxmemory is set']);
    expect(report.code).toBe(0);
  });
});

describe('upstreams', () => {
  test('a name nobody knows, a closed port, silence, no TLS and a 503 are told apart', async () => {
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
      expect.stringMatching(/^fail crossmark: .*its name is not known/),
      expect.stringMatching(/^fail walmart-edr: .*nobody listens there \(ECONNREFUSED\)/),
      expect.stringMatching(/^fail walmart-edr: .*no answer within 8 s/),
    ]);
    expect(second).toEqual([
      expect.stringMatching(/^fail crossmark: .*no trusted TLS connection/),
      expect.stringMatching(/^warn walmart-edr: .*answers 503/),
      expect.stringMatching(/^fail walmart-edr: .*nobody listens there/),
    ]);
    ill.close();
    mute.close();
  });
});

describe('Redis', () => {
  test('that evicts, keeps no file and may lose a lot fails, with the commands that mend it', async () => {
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

  test('with another password, or none at all, is told apart; the password is not repeated', async () => {
    await withRedis(async (redis) => {
      await redis.config('SET', 'requirepass', 'right');
      const wrong = running.stack.redisUrl.replace('//', `//:${secrets[1]}@`);
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
  ])('a clock %s its own is found', async (word, ms, status) => {
    const shift = `const now = Date.now; Date.now = () => now() + (${ms})`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(shift)}`;
    const report = await doctor({ ...healthy(), NODE_OPTIONS });
    expect(ills(report)).toEqual([expect.stringMatching(`^${status} clock: .* ms ${word} Redis`)]);
    expect(report.code).toBe(status === 'fail' ? 1 : 0);
  });
});

describe('the state in Redis', () => {
  test('a hold is told with its reason, and an orphan pause without workers is a failure', async () => {
    const { api, stack } = running;
    await api.faults([{ kind: 'status', status: 503 }]);
    await postVisits(api, 6);
    await until(async () => expect((await api.upstream()).breaker.state).toBe('open'));
    expect(ills(await doctor(healthy()))).toEqual(
      expect.arrayContaining([expect.stringMatching(/^warn crossmark: held \(breaker\) until /)]),
    );
    await api.faults([]);
    await until(async () => expect((await api.upstream()).queue).toMatchObject({ waiting: 0, delayed: 0 }));
    await until(async () => expect((await api.upstream()).breaker.state).toBe('closed'));

    for (const worker of [...stack.workers]) await stack.kill(worker, 'SIGTERM');
    await withRedis(async (redis) => {
      await redis.hset('recloser:{crossmark}:crossmark:meta', 'paused', '1');
      await postVisits(api, 2, 100);
      const report = await doctor(healthy());
      expect(ills(report)).toEqual(
        expect.arrayContaining([
          'fail crossmark: no worker is alive, and 2 calls wait',
          'fail crossmark: The queue is paused though no hold says why.',
          'warn walmart-edr: no worker is alive; nothing waits',
        ]),
      );
      expect(report.code).toBe(1);
    });
  });
});
