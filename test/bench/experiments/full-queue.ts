/** Makes every request of people and monitoring to a full queue, and finds the longest command of Redis. */
import { Redis } from 'ioredis';
import { benchKey } from '../sides/app-process.ts';

const password = 'bench-password-of-a-bench';

/** The addresses of web and admin. */
export type Addresses = { readonly web: string; readonly admin: string };

/** The latency of one answer. */
export type Asked = { readonly path: string; readonly ms: number };

/** Requests lists, pages, boards and metrics, and opens and closes the breaker. Throws if a request fails. */
export async function askEverything({ web, admin }: Addresses): Promise<readonly Asked[]> {
  const asked: Asked[] = [];
  const ask = async (base: string, path: string, init: RequestInit) => {
    const beganAt = performance.now();
    const response = await fetch(base + path, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 300)}`);
    asked.push({ path, ms: performance.now() - beganAt });
  };
  const bearer = { headers: { authorization: `Bearer ${benchKey}` } };
  for (const path of [
    '/v1/upstreams',
    '/metrics',
    '/health',
    '/v1/calls?limit=50',
    '/v1/calls?upstream=crossmark&status=queued&limit=200',
    '/v1/calls?status=failed',
  ]) {
    await ask(web, path, bearer);
  }
  const cookie = await logIn(admin);
  const board = '/queues/api/queues?activeQueue=crossmark&jobsPerPage=10';
  for (const path of ['/api/upstreams', '/breakers', board, `${board}&status=prioritized`]) {
    await ask(admin, path, { headers: { cookie } });
  }
  const act = (action: object) =>
    ask(admin, '/api/upstreams/crossmark/actions', {
      method: 'POST',
      headers: { cookie, origin: admin, 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'bench', ...action }),
    });
  await act({ action: 'open', until: new Date(Date.now() + 3_600_000).toISOString() });
  await ask(web, '/v1/calls?status=deferred', bearer);
  await act({ action: 'close-full' });
  await ask(admin, '/api/incidents', { headers: { cookie } });
  return asked;
}

async function logIn(admin: string): Promise<string> {
  const response = await fetch(`${admin}/login`, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: admin },
    body: new URLSearchParams({ username: 'admin', password }),
  });
  await response.arrayBuffer();
  return response.headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ');
}

/** The cost of some work for Redis: the longest command in its slow log, and the bytes that it sent. */
export type Cost = { readonly longestMs: number; readonly sentKb: number };

/** Measures Redis during `work`. */
export async function costOf<T>(redisUrl: string, work: () => Promise<T>): Promise<Cost & { result: T }> {
  const redis = new Redis(redisUrl);
  const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await redis.info('stats'))?.[1]);
  await redis.config('SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '10000');
  await redis.slowlog('RESET');
  const before = await sent();
  const result = await work();
  const after = await sent();
  const entries = (await redis.slowlog('GET', 10_000)) as [number, number, number, string[]][];
  await redis.config('SET', 'slowlog-log-slower-than', '10000', 'slowlog-max-len', '128');
  redis.disconnect();
  // Without the commands of the measurement.
  const times = entries
    .filter(([, , , [name = '']]) => !/^(slowlog|config)$/i.test(name))
    .map(([, , us]) => us);
  return { longestMs: Math.max(0, ...times) / 1000, sentKb: (after - before) / 1000, result };
}
