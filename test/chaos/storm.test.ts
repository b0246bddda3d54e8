/**
 * Seeded random failures of every kind, with 1, 3 and 8 workers. Afterwards the breaker's invariants are checked against
 * the simulator's ledger and Redis, not against our own counters.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTransitions } from '@recloser/breaker/upstream-state';
import { startTcpProxy } from '@recloser/local-stack/process/tcp-proxy';
import { startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { findRedis } from '@recloser/local-stack/redis/find-redis';
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { pick, randomOf, shuffled } from '../support/random.ts';
import { allEnded, startTestStack, type TestStack, until } from '../support/stack.ts';
import { nextWeather } from '../support/weather.ts';

/** Failures of our own processes. A storm has each once. */
const blows = [
  'kill',
  'stop',
  'redis-kill',
  'redis-freeze',
  'redis-cut',
  'pause',
  'resume',
  'delete-holds',
] as const;
type Blow = (typeof blows)[number];

const concurrency = 6;
const root = 'recloser:{crossmark}';

/** An embedded Redis behind a proxy that can be disconnected. */
async function startRedis() {
  const dataDir = await mkdtemp(join(tmpdir(), 'recloser-storm-'));
  const source = await findRedis({
    env: { ...process.env, REDIS_URL: '' },
    cacheDir: join(import.meta.dirname, '../../.cache'),
  });
  if (source.kind === 'url') throw new Error('the storm needs a Redis that it may kill');
  const server = await startEmbeddedRedis({ dataDir, source });
  const proxy = await startTcpProxy(server.port);
  const direct = new Redis(server.url, { maxRetriesPerRequest: null });
  direct.on('error', () => {});
  return {
    server,
    proxy,
    direct,
    url: `redis://127.0.0.1:${proxy.port}`,
    async [Symbol.asyncDispose]() {
      direct.disconnect();
      await proxy[Symbol.asyncDispose]();
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

type StormRedis = Awaited<ReturnType<typeof startRedis>>;

class Storm {
  readonly running: TestStack;
  readonly redis: StormRedis;
  readonly queue: Queue;
  readonly random: () => number;
  readonly ids: string[] = [];
  readonly done: string[] = [];
  frozen = new Set<number | undefined>();
  #posted = 0;

  constructor(running: TestStack, redis: StormRedis, seed: number) {
    this.running = running;
    this.redis = redis;
    this.random = randomOf(seed);
    this.queue = new Queue('crossmark', { connection: redis.direct, prefix: root });
    this.queue.on('error', () => {});
  }

  pick<T>(items: readonly T[]): T {
    return pick(this.random, items);
  }

  /** Applies every failure `times` times, in a seeded order. */
  blows(times: number): Blow[] {
    return Array.from({ length: times }, () => shuffled(this.random, blows)).flat();
  }

  /** Posts a mix of writes and reads. Only a 202 counts as accepted. */
  async post(count: number): Promise<void> {
    const one = async () => {
      this.#posted += 1;
      const input = visitInput(this.#posted);
      const { mPlanId, locationId } = input;
      const { api } = this.running;
      const answer = await (this.random() < 0.6
        ? api.post('crossmark/schedule-event', { input })
        : api.post('crossmark/list-qualified-reps', { input: { mPlanId, locationId } }));
      if (answer.status === 202) this.ids.push(String(answer.body.id));
      else expect(answer.status, JSON.stringify(answer.body)).toBe(503);
    };
    await Promise.all(Array.from({ length: count }, one));
  }

  /** Draws the upstream's next faults. */
  async weather(): Promise<void> {
    const faults = nextWeather(this.random);
    this.done.push(`weather ${JSON.stringify(faults)}`);
    await this.running.api.faults(faults, { seed: Math.floor(this.random() * 1_000) });
  }

  async blow(blow: Blow): Promise<void> {
    const { stack } = this.running;
    this.done.push(blow);
    switch (blow) {
      case 'kill': {
        const worker = this.pick(stack.workers);
        await stack.kill(worker);
        await stack.addWorker();
        return;
      }
      case 'stop': {
        // Shorter than BullMQ's lock of 10 s, to keep the storm short. frozen.test.ts exceeds it.
        const worker = this.pick(stack.workers);
        worker.signal('SIGSTOP');
        await pass(1_500);
        worker.signal('SIGCONT');
        return;
      }
      case 'redis-kill':
        await this.redis.server.kill();
        await pass(400);
        await this.redis.server.restart();
        return;
      case 'redis-freeze':
        this.redis.server.freeze();
        await pass(1_000);
        this.redis.server.thaw();
        return;
      case 'redis-cut':
        this.redis.proxy.break();
        await pass(800);
        this.redis.proxy.mend();
        return;
      case 'pause':
        await this.queue.pause();
        return;
      case 'resume':
        await this.queue.resume();
        return;
      case 'delete-holds':
        await this.redis.direct.del(`${root}:holds`);
    }
  }
}

/** The duration of a failure. Not a wait for an effect. */
const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** `STORM=3:7,8:9` runs other storms, each as workers and seed. `STORM_TIMES=5` makes them longer. */
const storms = (process.env.STORM ?? '1:101,3:102,8:103')
  .split(',')
  .map((one) => one.split(':').map(Number) as [number, number]);

test.each(storms)('%i workers, seed %i', async (workers, seed) => {
  await using redis = await startRedis();
  await using running = await startTestStack({
    workers,
    env: {
      REDIS_URL: redis.url,
      WORKER_CONCURRENCY: String(concurrency),
      CROSSMARK_MAX_ATTEMPTS: '30',
      CROSSMARK_BREAKER_RESET_MS: '800',
    },
  });
  const storm = new Storm(running, redis, seed);
  for (const blow of storm.blows(Number(process.env.STORM_TIMES ?? 1))) {
    await storm.weather();
    await storm.post(25);
    await storm.blow(blow);
    await storm.post(15);
  }
  await running.api.faults([]);
  const ends = await allEnded(running.api, storm.ids, 150_000).catch((error) => {
    throw new Error(`${error.message}\nafter: ${storm.done.join(', ')}`);
  });

  const story = storm.done.join(', ');
  // Every accepted call has succeeded or is in doubt. None failed, because attempts were plentiful.
  expect(
    Object.values(ends).reduce((sum, count) => sum + count, 0),
    story,
  ).toBe(storm.ids.length);
  expect(ends, story).not.toHaveProperty('failed');
  const calls = await running.api.calls(storm.ids);
  const { visitsByItem, requests } = await running.api.ledger();
  // No write was done twice, and every succeeded write is there.
  expect(Math.max(...Object.values(visitsByItem)), story).toBe(1);
  const booked = calls.filter(
    ({ status, result }) => status === 'succeeded' && result?.scheduleEventId,
  ).length;
  expect(Object.keys(visitsByItem).length, story).toBeGreaterThanOrEqual(booked);
  // While the breaker was open, only requests admitted earlier were sent.
  const transitions = (await readTransitions({ redis: redis.direct, root, count: 10_000 })).reverse();
  const moves = transitions.filter(({ kind }) => kind === 'breaker');
  for (const [i, move] of moves.entries()) {
    if (move.to !== 'open') continue;
    const end = moves[i + 1]?.at ?? Number.POSITIVE_INFINITY;
    const during = requests.filter(({ at }) => at > move.at && at < end);
    expect(during.length, `${story}; open at ${move.at}`).toBeLessThanOrEqual(workers * concurrency);
  }
  // The system has recovered automatically.
  await until(async () =>
    expect(await running.api.upstream()).toMatchObject({ breaker: { state: 'closed' }, holds: [] }),
  );
  expect(await storm.queue.isPaused()).toBe(false);
  await until(async () => expect(await storm.queue.getGlobalConcurrency()).toBeNull(), 60_000);
  await storm.queue.close();
});
