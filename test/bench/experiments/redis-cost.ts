/**
 * The cost of a call for Redis: round trips and commands, including those in scripts, as MONITOR shows them; and bytes
 * while it waits and after it is done.
 */
import { Redis } from 'ioredis';
import type { Figure } from '../figures/figure.ts';
import { latencies, type Post } from '../figures/latency.ts';
import { benchKey, ourEnv, startApp, startScript } from '../sides/app-process.ts';
import {
  inputOf,
  type Operation,
  openBare,
  openOurs,
  untilSucceeded,
  type WorkedQueue,
} from '../sides/worked-queue.ts';
import type { Experiment } from './experiment.ts';

type Cost = { readonly roundTrips: number; readonly commands: number };
type Side = 'ours' | 'bare';

const bytesAim = { kind: 'ratio', atMost: 1.3 } as const;
const sideNames: readonly Side[] = ['ours', 'bare'];
const concurrency = 50;

export const redisCost: Experiment = {
  name: 'redis',
  title: 'What a call costs Redis',
  async run({ quick, redisUrl, say }) {
    const calls = quick ? 100 : 1_000;
    const stored = quick ? 200 : 5_000;
    const standIn = await startScript('stand-in.ts', {});
    const ground = { redisUrl, standInUrl: standIn.url };
    const sides = { ours: await openOurs(ground), bare: await openBare(ground) };
    const redis = new Redis(redisUrl);
    try {
      say('posts');
      const figures = [...(await postCosts(redis, { redisUrl, calls }))];
      for (const operation of ['schedule-event', 'list-qualified-reps'] as const) {
        say(operation);
        figures.push(...(await workCosts(redis, sides, { operation, calls })));
        figures.push(...(await byteCosts(redis, sides, { operation, calls: stored })));
      }
      return figures;
    } finally {
      redis.disconnect();
      await Promise.all([sides.ours.stop(), sides.bare.stop()]);
      await standIn.stop();
    }
  },
};

async function postCosts(
  redis: Redis,
  { redisUrl, calls }: { redisUrl: string; calls: number },
): Promise<readonly Figure[]> {
  const web = await startApp('web', ourEnv({ redisUrl, upstreamUrl: 'http://127.0.0.1:9' }));
  const bare = await startScript('bare-web.ts', { REDIS_URL: redisUrl, QUEUE: 'crossmark' });
  const body = JSON.stringify({ input: inputOf('schedule-event', 1) });
  const posts: Readonly<Record<Side, Post>> = {
    ours: {
      url: `${web.url}/v1/calls/crossmark/schedule-event`,
      headers: { authorization: `Bearer ${benchKey}` },
      body,
    },
    bare: { url: `${bare.url}/calls/schedule-event`, headers: {}, body },
  };
  const figures: Figure[] = [];
  for (const atOnce of [1, 50]) {
    const costs = await both(async (side) => {
      await redis.flushall();
      await latencies(posts[side], { count: atOnce, atOnce });
      return countCommands(
        redis,
        calls,
        async () => void (await latencies(posts[side], { count: calls, atOnce })),
      );
    });
    figures.push(...commandFigures(`a post, ${atOnce} at a time`, costs));
  }
  await Promise.all([web.stop(), bare.stop()]);
  return figures;
}

async function workCosts(
  redis: Redis,
  sides: Readonly<Record<Side, WorkedQueue>>,
  { operation, calls }: { operation: Operation; calls: number },
): Promise<readonly Figure[]> {
  const costs = await both(async (name) => {
    await redis.flushall();
    await sides[name].fill(operation, calls);
    return countCommands(redis, calls, async () => {
      const worker = await sides[name].startWorker(concurrency);
      await untilSucceeded(sides[name], calls);
      await worker.stop();
    });
  });
  return commandFigures(`${operation} that succeeds`, costs);
}

async function byteCosts(
  redis: Redis,
  sides: Readonly<Record<Side, WorkedQueue>>,
  { operation, calls }: { operation: Operation; calls: number },
): Promise<readonly Figure[]> {
  const seen = await both(async (name) => {
    await redis.flushall();
    const before = await usedMemory(redis);
    await sides[name].fill(operation, calls);
    const waiting = (await usedMemory(redis)) - before;
    const worker = await sides[name].startWorker(concurrency);
    await untilSucceeded(sides[name], calls);
    await worker.stop();
    return { waiting: waiting / calls, kept: ((await usedMemory(redis)) - before) / calls };
  });
  const figure = (what: 'waiting' | 'kept', name: string): Figure => ({
    name: `${operation}: ${name}`,
    unit: 'bytes',
    ours: [seen.ours[what]],
    bare: [seen.bare[what]],
    aim: bytesAim,
  });
  return [figure('waiting', 'a call that waits'), figure('kept', 'a call that is done')];
}

async function both<T>(measure: (side: Side) => Promise<T>): Promise<Readonly<Record<Side, T>>> {
  const [ours, bare] = sideNames;
  return { ours: await measure(ours as Side), bare: await measure(bare as Side) };
}

/** Counts all commands during `act`, per call, including a worker's start and heartbeats. */
async function countCommands(redis: Redis, calls: number, act: () => Promise<void>): Promise<Cost> {
  const watcher = redis.duplicate();
  const monitor = await watcher.monitor();
  let roundTrips = 0;
  let commands = 0;
  monitor.on('monitor', (_time: string, [name = '']: string[], source: string) => {
    // The bench's own commands.
    if (/^(monitor|info)$/i.test(name)) return;
    commands += 1;
    if (source !== 'lua') roundTrips += 1;
  });
  await act();
  monitor.disconnect();
  watcher.disconnect();
  return { roundTrips: roundTrips / calls, commands: commands / calls };
}

function commandFigures(name: string, { ours, bare }: Readonly<Record<Side, Cost>>): readonly Figure[] {
  return [
    { name: `${name}: commands sent`, unit: 'commands', ours: [ours.roundTrips], bare: [bare.roundTrips] },
    {
      name: `${name}: with those in scripts`,
      unit: 'commands',
      ours: [ours.commands],
      bare: [bare.commands],
    },
  ];
}

async function usedMemory(redis: Redis): Promise<number> {
  // The event stream is capped and the same on both sides. Freed memory is released at once.
  return Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1]);
}
