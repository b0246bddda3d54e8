/** The intakes of the backlog experiment. Each has its own Redis with its backlog, so that they can be measured in turn. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type EmbeddedRedis, startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { findRedis } from '@recloser/local-stack/redis/find-redis';
import { Redis } from 'ioredis';
import type { Post } from '../figures/latency.ts';
import { type AppProcess, benchKey, ourEnv, startApp, startScript } from '../sides/app-process.ts';
import { callIdAt, fillBacklog } from '../sides/fill-backlog.ts';
import type { BenchContext } from './experiment.ts';

export type Side = 'ours' | 'bare';

/** One side with one backlog. On our side, `processes` are web and admin. */
export type Cell = {
  readonly side: Side;
  readonly waiting: number;
  readonly redis: EmbeddedRedis;
  readonly processes: readonly AppProcess[];
  readonly post: Post;
  readonly p50: number[];
  readonly p99: number[];
  readonly cpuUs: number[];
  stop(): Promise<void>;
};

const projectDir = join(import.meta.dirname, '../../..');
const input = { mPlanId: '30000001', locationId: '150001' };
/** The time between the acceptance of two waiting calls. */
const everyMs = 30;

/** Our web, and admin on the same queue. */
export async function ourCell({ say }: BenchContext, waiting: number): Promise<Cell> {
  const redis = await startRedis(`ours-${waiting}`);
  const env = ourEnv({
    redisUrl: redis.url,
    upstreamUrl: 'http://127.0.0.1:9',
    more: { CROSSMARK_MAX_BACKLOG: '100000000' },
  });
  const processes = await Promise.all([startApp('web', env), startApp('admin', env)]);
  const post = {
    url: `${processes[0].url}/v1/calls/crossmark/list-qualified-reps`,
    headers: { authorization: `Bearer ${benchKey}` },
    body: JSON.stringify({ input }),
  };
  await fill(redis, { keyStart: 'recloser:{crossmark}:crossmark:', post, waiting, say });
  return cellOf({ side: 'ours', waiting, redis, processes, post });
}

/** Express and `Queue.add`. */
export async function bareCell({ say }: BenchContext, waiting: number): Promise<Cell> {
  const redis = await startRedis(`bare-${waiting}`);
  const web = await startScript('bare-web.ts', { REDIS_URL: redis.url, QUEUE: 'crossmark' });
  const post = {
    url: `${web.url}/calls/list-qualified-reps`,
    headers: {},
    body: JSON.stringify({ input }),
  };
  await fill(redis, { keyStart: 'bull:crossmark:', post, waiting, say });
  return cellOf({ side: 'bare', waiting, redis, processes: [web], post });
}

function cellOf(parts: Pick<Cell, 'side' | 'waiting' | 'redis' | 'processes' | 'post'>): Cell {
  return {
    ...parts,
    p50: [],
    p99: [],
    cpuUs: [],
    async stop() {
      await Promise.all(parts.processes.map((one) => one.stop()));
      await parts.redis.stop();
      await rm(dataDir(`${parts.side}-${parts.waiting}`), { recursive: true, force: true });
    },
  };
}

const dataDir = (name: string): string => join(projectDir, `.data/bench-${process.pid}-${name}`);

/** Production's settings, except for `appendfsync everysec`, on both sides. */
async function startRedis(name: string): Promise<EmbeddedRedis> {
  const source = await findRedis({
    env: { ...process.env, REDIS_URL: '' },
    cacheDir: join(projectDir, '.cache'),
  });
  if (source.kind === 'url') throw new Error('The bench needs its own Redis');
  await rm(dataDir(name), { recursive: true, force: true });
  return startEmbeddedRedis({ dataDir: dataDir(name), source, appendfsync: 'everysec' });
}

/** Posts one call and copies it until `waiting` calls wait, with acceptance times up to now. */
async function fill(
  { url }: EmbeddedRedis,
  options: { keyStart: string; post: Post; waiting: number; say: BenchContext['say'] },
): Promise<void> {
  const { keyStart, post, waiting, say } = options;
  if (waiting === 0) return;
  const response = await fetch(post.url, {
    method: 'POST',
    headers: { ...post.headers, 'content-type': 'application/json' },
    body: post.body,
  });
  const { id: sample } = (await response.json()) as { id: string };
  const redis = new Redis(url);
  // Rewrites the append-only file once, at the end, and never during a measurement.
  await redis.config('SET', 'auto-aof-rewrite-percentage', '0');
  const beganAt = Date.now() - waiting * everyMs;
  const copyOf = (n: number) => {
    const atMs = beganAt + n * everyMs;
    return { id: sample.length > 36 ? callIdAt(sample, atMs, n) : String(n + 1), atMs };
  };
  await fillBacklog({ redis, keyStart }, { sample, count: waiting, copyOf });
  await redis.bgrewriteaof();
  const info = async (name: string) => new RegExp(`${name}:(\\d+)`).exec(await redis.info())?.[1];
  while ((await info('aof_rewrite_in_progress')) !== '0') await new Promise((done) => setTimeout(done, 200));
  const memory = Number(await info('used_memory'));
  say(`${waiting} wait in ${keyStart}: ${Math.round(memory / waiting)} bytes each`);
  redis.disconnect();
}

/** Deletes the calls that earlier rounds posted. */
export async function empty({ url }: EmbeddedRedis): Promise<void> {
  const redis = new Redis(url);
  await redis.flushall();
  redis.disconnect();
}

/** Returns the CPU time that Redis' main thread has used, in µs. Independent of other load on the machine. */
export async function redisCpuUs({ url }: EmbeddedRedis): Promise<number> {
  const redis = new Redis(url);
  const info = await redis.info('cpu');
  redis.disconnect();
  const seconds = ['user', 'sys'].map((part) =>
    Number(new RegExp(`used_cpu_${part}_main_thread:([\\d.]+)`).exec(info)?.[1]),
  );
  return seconds.reduce((sum, one) => sum + one, 0) * 1_000_000;
}
