/** Calls per second of one worker process on a full queue: ours and BullMQ with got. */
import { Redis } from 'ioredis';
import type { Figure } from '../figures/figure.ts';
import { startScript } from '../sides/app-process.ts';
import {
  type Operation,
  openBare,
  openOurs,
  untilSucceeded,
  type WorkedQueue,
} from '../sides/worked-queue.ts';
import type { Experiment } from './experiment.ts';

type Cell = { readonly operation: Operation; readonly concurrency: number; readonly calls: number };

const cells: readonly Cell[] = [
  { operation: 'schedule-event', concurrency: 1, calls: 500 },
  { operation: 'schedule-event', concurrency: 50, calls: 3_000 },
  { operation: 'schedule-event', concurrency: 200, calls: 3_000 },
  { operation: 'list-qualified-reps', concurrency: 50, calls: 3_000 },
];
const quickCells: readonly Cell[] = [{ operation: 'schedule-event', concurrency: 10, calls: 100 }];

/** The share of calls that is not counted, because a process is slow at first. */
const warmUp = 0.3;

export const worker: Experiment = {
  name: 'worker',
  title: 'Making calls',
  async run({ rounds, quick, redisUrl, say }) {
    const standIn = await startScript('stand-in.ts', {});
    const ground = { redisUrl, standInUrl: standIn.url };
    const sides = { ours: await openOurs(ground), bare: await openBare(ground) };
    const redis = new Redis(redisUrl);
    const perSecond = async (side: WorkedQueue, { operation, concurrency, calls }: Cell) => {
      await redis.flushall();
      await fetch(`${standIn.url}/seen`, { method: 'DELETE' });
      await side.fill(operation, calls);
      const process = await side.startWorker(concurrency);
      await untilSucceeded(side, calls);
      await process.stop();
      const seen = (await (await fetch(`${standIn.url}/seen`)).json()) as number[];
      const counted = seen.slice(Math.floor(calls * warmUp));
      return ((counted.length - 1) * 1000) / ((counted.at(-1) ?? 0) - (counted[0] ?? 0));
    };
    try {
      const figures: Figure[] = [];
      for (const cell of quick ? quickCells : cells) {
        const seen = { ours: [] as number[], bare: [] as number[] };
        for (let round = 0; round < rounds; round += 1) {
          say(`${cell.operation}, ${cell.concurrency} at a time, round ${round + 1} of ${rounds}`);
          for (const name of round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const))
            seen[name].push(await perSecond(sides[name], cell));
        }
        figures.push({
          name: `${cell.operation}, ${cell.concurrency} at a time`,
          unit: 'calls/s',
          ...seen,
          aim: { kind: 'ratio', atLeast: 0.95 },
        });
      }
      return figures;
    } finally {
      redis.disconnect();
      await Promise.all([sides.ours.stop(), sides.bare.stop()]);
      await standIn.stop();
    }
  },
};
