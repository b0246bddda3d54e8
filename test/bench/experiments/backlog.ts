/**
 * The latency of a 202 with 0, 10,000 and 1,000,000 waiting calls, and whether other requests to a full queue block
 * Redis.
 */

import type { Figure } from '../figures/figure.ts';
import { latencies, quantile } from '../figures/latency.ts';
import { bareCell, type Cell, empty, ourCell, redisCpuUs, type Side } from './backlog-cells.ts';
import type { BenchContext, Experiment } from './experiment.ts';
import { askEverything, costOf } from './full-queue.ts';

const postsPerRound = 1_000;
const atOnce = 4;

export const backlog: Experiment = {
  name: 'backlog',
  title: 'A 202 with many calls waiting',
  async run(context) {
    const sizes = context.quick ? [0, 1_000] : [0, 10_000, 1_000_000];
    const count = context.quick ? 100 : postsPerRound;
    const cells: Cell[] = [];
    try {
      for (const waiting of sizes)
        cells.push(await ourCell(context, waiting), await bareCell(context, waiting));
      // Warm-up: the first posts of a process are slow.
      for (const { post } of cells) await latencies(post, { count: count / 2, atOnce });
      for (let round = 1; round <= context.rounds; round += 1) {
        context.say(`round ${round} of ${context.rounds}`);
        for (const cell of inTurn(cells, round)) {
          if (cell.waiting === 0) await empty(cell.redis);
          const busyBefore = await redisCpuUs(cell.redis);
          const times = await latencies(cell.post, { count, atOnce });
          cell.cpuUs.push(((await redisCpuUs(cell.redis)) - busyBefore) / count);
          cell.p50.push(quantile(times, 0.5));
          cell.p99.push(quantile(times, 0.99));
        }
      }
      return [
        ...figuresOf(cells, sizes),
        ...(await askFull(
          context,
          cells.filter(({ side }) => side === 'ours'),
        )),
      ];
    } finally {
      await Promise.all(cells.map((cell) => cell.stop()));
    }
  },
};

/** Rotates the cells, so that other load on the machine does not always affect the same one. */
function inTurn(cells: readonly Cell[], round: number): readonly Cell[] {
  const first = round % cells.length;
  return [...cells.slice(first), ...cells.slice(0, first)];
}

function figuresOf(cells: readonly Cell[], sizes: readonly number[]): readonly Figure[] {
  const of = (side: Side, waiting: number) =>
    cells.find((cell) => cell.side === side && cell.waiting === waiting) as Cell;
  const figures: Figure[] = [];
  for (const waiting of sizes) {
    for (const key of ['p50', 'p99'] as const) {
      figures.push({
        name: `${key} of the 202, ${waiting.toLocaleString('en')} waiting`,
        unit: 'ms',
        ours: of('ours', waiting)[key],
        bare: of('bare', waiting)[key],
      });
    }
  }
  const [least = 0, most = 0] = [Math.min(...sizes), Math.max(...sizes)];
  for (const waiting of sizes) {
    figures.push({
      name: `processor time of Redis per post, ${waiting.toLocaleString('en')} waiting`,
      unit: 'µs',
      ours: of('ours', waiting).cpuUs,
      bare: of('bare', waiting).cpuUs,
    });
  }
  const growth = (side: Side) =>
    of(side, most).p99.map((ms, round) => ms / (of(side, least).p99[round] ?? Number.NaN));
  figures.push({
    name: `p99 with ${most.toLocaleString('en')} waiting ÷ p99 with none`,
    unit: '×',
    ours: growth('ours'),
    bare: growth('bare'),
    aim: { kind: 'value', atMost: 1.25 },
  });
  return figures;
}

/** Measures the cost of all other requests, at each backlog. */
async function askFull({ rounds, say }: BenchContext, cells: readonly Cell[]): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const { waiting, redis, processes } of cells) {
    say(`all other requests with ${waiting} waiting`);
    const [web, admin] = processes.map(({ url }) => url) as [string, string];
    const costs = [];
    for (let round = 0; round < rounds; round += 1) {
      costs.push(await costOf(redis.url, () => askEverything({ web, admin })));
    }
    const [slowest] = costs.flatMap(({ result }) => result).sort((a, b) => b.ms - a.ms);
    const about = `lists, pages, metrics, breaker, ${waiting.toLocaleString('en')} waiting`;
    figures.push(
      {
        name: `${about}: longest command of Redis`,
        unit: 'ms',
        ours: costs.map((one) => one.longestMs),
        bare: [],
      },
      { name: `${about}: sent by Redis`, unit: 'kB', ours: costs.map((one) => one.sentKb), bare: [] },
      {
        name: `${about}: slowest answer`,
        unit: 'ms',
        ours: costs.map(({ result }) => Math.max(...result.map(({ ms }) => ms))),
        bare: [],
        note: slowest?.path ?? '',
      },
    );
  }
  return figures;
}
