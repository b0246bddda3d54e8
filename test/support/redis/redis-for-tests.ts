/**
 * Finds the Redis a test run uses: `REDIS_URL`, else a container through testcontainers, else the embedded one.
 *
 * Always true: there is a Redis or an error, never a skipped test; and the description says which one and why not a
 * better one, because "it passed" means little without it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '@recloser/local-stack/process/run-command';
import { startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { findRedis, RedisNotFoundError, type RedisSource } from '@recloser/local-stack/redis/find-redis';
import { withDeadline } from '@recloser/runtime/process/with-deadline';
import { Redis } from 'ioredis';

/** A Redis for one run. `description` is one line for people. */
export type TestRedis = {
  readonly url: string;
  readonly description: string;
  stop(): Promise<void>;
};

/** The environment decides; `RECLOSER_TEST_REDIS_IMAGE` names another image than `redis:7-alpine`. */
export type TestRedisOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly say?: (line: string) => void;
};

const cacheDir = join(import.meta.dirname, '../../../.cache');
const defaultImage = 'redis:7-alpine';
const daemonMs = 10_000;
const pullMs = 60_000;
const containerMs = 60_000;
const givenMs = 5_000;

/** Starts or finds it. Throws when `REDIS_URL` is set and does not answer, or when there is no Redis by any way. */
export async function startTestRedis({ env, say = () => {} }: TestRedisOptions): Promise<TestRedis> {
  const given = env.REDIS_URL?.trim();
  if (given) return useGiven(given);
  const container = await startContainer(env.RECLOSER_TEST_REDIS_IMAGE?.trim() || defaultImage, env, say);
  if (typeof container !== 'string') return container;
  return startEmbedded(env, say, container);
}

/** What tests that start a Redis of their own start it with: whatever `npm start` would, if it had no `REDIS_URL`. */
export type OwnRedis =
  | Exclude<RedisSource, { kind: 'url' }>
  | { readonly kind: 'none'; readonly problem: string };

/** Finds it, once for the whole run. A run without any such Redis goes on, as few tests need one. */
export async function findOwnRedis({ env, say }: TestRedisOptions): Promise<OwnRedis> {
  try {
    const source = await findRedis({ env: { ...env, REDIS_URL: '' }, cacheDir, say });
    if (source.kind === 'url') throw new Error('unreachable: REDIS_URL is empty');
    return source;
  } catch (error) {
    if (error instanceof RedisNotFoundError) return { kind: 'none', problem: error.message };
    throw error;
  }
}

async function useGiven(url: string): Promise<TestRedis> {
  const redis = new Redis(url, { connectTimeout: givenMs, retryStrategy: () => null, lazyConnect: true });
  redis.on('error', () => {});
  try {
    await redis.connect();
    await redis.ping();
  } catch (cause) {
    throw new Error('REDIS_URL is set for the tests but does not answer: start it, or unset REDIS_URL', {
      cause,
    });
  } finally {
    redis.disconnect();
  }
  return { url, description: 'the one of REDIS_URL', stop: async () => {} };
}

/** A container, or why there is none. */
async function startContainer(
  image: string,
  env: TestRedisOptions['env'],
  say: (line: string) => void,
): Promise<TestRedis | string> {
  // Loaded only here: it takes a second, and a run with REDIS_URL has no use for it.
  const { GenericContainer, getContainerRuntimeClient, ImageName, Wait } = await import('testcontainers');
  const client = await withDeadline(getContainerRuntimeClient(), daemonMs, 'Docker does not answer').catch(
    () => undefined,
  );
  if (!client) return 'no Docker daemon answers';
  if (!(await client.image.exists(ImageName.fromString(image)))) {
    say(`pulling ${image} for the tests`);
    const { status, output } = await runCommand('docker', ['pull', image], { env, timeoutMs: pullMs });
    if (status !== 0) return `Docker answers, but ${image} cannot be pulled: ${lastLine(output)}`;
  }
  const start = () =>
    withDeadline(
      new GenericContainer(image)
        .withCommand(['redis-server', ...serverFlags])
        .withExposedPorts(6379)
        .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
        .withStartupTimeout(containerMs)
        .start(),
      containerMs,
      'the container does not start',
    );
  const started = await start().catch(async () => {
    // Most often its helper that clears up after a killed run is missing (no image registry): do without it.
    process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
    return start().catch((error: unknown) => lastLine(String(error)));
  });
  if (typeof started === 'string') return `Docker answers, but ${image} does not start: ${started}`;
  return {
    url: `redis://${started.getHost()}:${started.getMappedPort(6379)}/0`,
    description: `docker, image ${image}`,
    stop: async () => void (await started.stop()),
  };
}

/** Safe as in production, except that a power loss may cost a second: a test's data is worth nothing. */
const serverFlags = [
  ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''],
  ...['--maxmemory-policy', 'noeviction', '--protected-mode', 'no'],
];

async function startEmbedded(
  env: TestRedisOptions['env'],
  say: (line: string) => void,
  whyNotDocker: string,
): Promise<TestRedis> {
  const source = await findRedis({ env, cacheDir, say });
  if (source.kind === 'url') throw new Error('unreachable: REDIS_URL was handled before');
  const dataDir = await mkdtemp(join(tmpdir(), 'recloser-tests-redis-'));
  const redis = await startEmbeddedRedis({ dataDir, source, appendfsync: 'everysec', say });
  return {
    url: `${redis.url}/0`,
    description: `embedded, ${source.description} (${whyNotDocker})`,
    async stop() {
      await redis.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
