/**
 * Finds the Redis of a test run: `REDIS_URL`, otherwise a container (testcontainers), otherwise an embedded one. Without
 * any, the run fails. Its description says which one is used, and why not an earlier one.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '@recloser/local-stack/process/run-command';
import { startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { findRedis, RedisNotFoundError, type RedisSource } from '@recloser/local-stack/redis/find-redis';
import { withDeadline } from '@recloser/runtime/process/with-deadline';
import { Redis } from 'ioredis';

/** The Redis of one run. `description` is one line. */
export type TestRedis = {
  readonly url: string;
  readonly description: string;
  stop(): Promise<void>;
};

/** `RECLOSER_TEST_REDIS_IMAGE` replaces `redis:7-alpine`. */
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

/** Throws if `REDIS_URL` is set and does not answer, or if no Redis is found. */
export async function startTestRedis({ env, say = () => {} }: TestRedisOptions): Promise<TestRedis> {
  const given = env.REDIS_URL?.trim();
  if (given) return useGiven(given);
  const container = await startContainer(env.RECLOSER_TEST_REDIS_IMAGE?.trim() || defaultImage, env, say);
  if (typeof container !== 'string') return container;
  return startEmbedded(env, say, container);
}

/** The source for tests that start their own Redis: what `npm start` would use without `REDIS_URL`. */
export type OwnRedis =
  | Exclude<RedisSource, { kind: 'url' }>
  | { readonly kind: 'none'; readonly problem: string };

/** Runs once per test run. A run without such a Redis continues, because few tests need one. */
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
    throw new Error('The Redis in REDIS_URL does not answer. Start it, or unset REDIS_URL.', {
      cause,
    });
  } finally {
    redis.disconnect();
  }
  return { url, description: 'the one of REDIS_URL', stop: async () => {} };
}

/** Starts a container, or returns why it cannot. */
async function startContainer(
  image: string,
  env: TestRedisOptions['env'],
  say: (line: string) => void,
): Promise<TestRedis | string> {
  // Loaded here because it takes a second, and a run with REDIS_URL does not need it.
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
    // Usually the image of its cleanup container cannot be pulled. Try without that container.
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

/** The settings of production, except for `appendfsync everysec`. */
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
