/**
 * How many requests reach an upstream that is down, by the number of workers. The cells run in parallel, because they are
 * mostly idle, and requests are counted, not timed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Figure } from '../figures/figure.ts';
import { concurrency, type Fleet, startBareFleet, startOurFleet } from '../sides/outage-fleet.ts';
import type { BenchContext, Experiment } from './experiment.ts';

type Cell = { readonly workers: number; readonly ours: Fleet; readonly bare: Fleet };

type Variant = {
  readonly name: string;
  readonly rounds: number;
  readonly fault: Readonly<Record<string, unknown>>;
  /** Whether calls are posted over the whole time, or all at the start. */
  readonly steady: boolean;
  /** Our allowed requests: the failures that open the breaker, the calls in flight by then, and the probe. */
  readonly allowed: (workers: number) => number;
};

/** The size of the experiment. `scale` multiplies the window and all times of both sides. */
type Plan = {
  readonly fleetSizes: readonly number[];
  readonly posts: number;
  readonly scale: number;
  readonly variants: readonly Variant[];
};

const windowMs = 60_000;
const apartMs = 3_000;

const failMax = 5;
const probe = 1;
/** Calls sent while the last failure is being recorded, at a few posts per second. */
const strayed = 4;
/** Posts within the timeout of 10 s. */
const unanswered = 34;
const refuses = { kind: 'status', status: 503 };

function planOf({ rounds, quick }: BenchContext): Plan {
  const steady: Variant = {
    name: 'calls over the time, it answers 503',
    // A round takes a minute and counts requests, so two rounds are enough.
    rounds: Math.min(rounds, 2),
    fault: refuses,
    steady: true,
    allowed: () => failMax + strayed + probe,
  };
  if (quick) return { fleetSizes: [1, 2], posts: 40, scale: 0.1, variants: [{ ...steady, rounds: 1 }] };
  const atOnce = {
    ...steady,
    rounds: 1,
    name: 'calls at once, it answers 503',
    steady: false,
    allowed: (workers: number) => failMax + workers * concurrency + probe,
  };
  const silent = {
    ...steady,
    rounds: 1,
    name: 'calls over the time, it never answers',
    fault: { kind: 'hang' },
    // Calls posted before the first timeout are sent before the outage is known.
    allowed: (workers: number) => failMax + Math.min(workers * concurrency, unanswered) + strayed + probe,
  };
  return { fleetSizes: [1, 4, 8], posts: 200, scale: 1, variants: [steady, atOnce, silent] };
}

export const deadUpstream: Experiment = {
  name: 'dead-upstream',
  title: 'Requests that reach a dead upstream',
  async run(context) {
    const plan = planOf(context);
    const cells: Cell[] = [];
    try {
      // One size after the other: together they would start too slowly on a small machine.
      for (const workers of plan.fleetSizes) cells.push(await startCell(context, workers, plan.scale));
      const figures: Figure[] = [];
      for (const variant of plan.variants) figures.push(...(await measure(context, plan, variant, cells)));
      return figures;
    } finally {
      await Promise.all(cells.flatMap(({ ours, bare }) => [ours.stop(), bare.stop()]));
    }
  },
};

async function startCell({ redisUrl, say }: BenchContext, workers: number, scale: number): Promise<Cell> {
  say(`starting ${workers} of each`);
  const options = { redisUrl, workers, scale };
  const ours = await startOurFleet({ ...options, name: `dead-ours-${workers}` });
  return { workers, ours, bare: await startBareFleet({ ...options, name: `dead-bare-${workers}` }) };
}

async function measure(
  { redisUrl, say }: BenchContext,
  plan: Plan,
  variant: Variant,
  cells: readonly Cell[],
): Promise<readonly Figure[]> {
  const reached = cells.map(() => ({ ours: [] as number[], bare: [] as number[] }));
  for (let round = 1; round <= variant.rounds; round += 1) {
    say(`${plan.posts} ${variant.name}: round ${round} of ${variant.rounds}`);
    await startAnew(redisUrl, cells);
    await Promise.all(
      cells.flatMap((cell, index) =>
        (['ours', 'bare'] as const).map(async (side) => {
          // Staggered, because 26 workers share the machine's cores.
          if (!variant.steady) await pause(apartMs * (2 * index + (side === 'ours' ? 0 : 1)));
          reached[index]?.[side].push(await outage(cell[side], plan, variant));
        }),
      ),
    );
  }
  say(JSON.stringify(reached));
  return cells.map(({ workers }, index) => ({
    name: `${plan.posts} ${variant.name}; ${workers} ${workers === 1 ? 'worker' : 'workers'}`,
    unit: 'requests',
    ours: reached[index]?.ours ?? [],
    bare: reached[index]?.bare ?? [],
    aim: { kind: 'value', atMost: variant.allowed(workers) },
    ...(plan.scale < 1 && { note: `All times are ${plan.scale} of production’s.` }),
  }));
}

/** Empties Redis while the fleets run, and waits until all of them work again. */
async function startAnew(redisUrl: string, cells: readonly Cell[]): Promise<void> {
  const fleets = cells.flatMap(({ ours, bare }) => [ours, bare]);
  await Promise.all(fleets.map(({ simulator }) => simulator.faults([])));
  const redis = new Redis(redisUrl);
  await redis.flushall();
  redis.disconnect();
  await Promise.all(fleets.map((fleet) => fleet.settle()));
}

/** Takes the upstream down, posts calls, and counts the requests that reach it within the window. */
async function outage(fleet: Fleet, { posts, scale }: Plan, { fault, steady }: Variant): Promise<number> {
  await fleet.simulator.faults([fault]);
  const beganAt = performance.now();
  const before = (await fleet.simulator.ledger()).requests.length;
  const lastsMs = windowMs * scale;
  if (!steady) await fleet.post(posts);
  for (let n = 0; steady && n < posts; n += 1) {
    await pause(Math.max(0, beganAt + (n * lastsMs) / posts - performance.now()));
    await fleet.post(1);
  }
  await pause(Math.max(0, beganAt + lastsMs - performance.now()));
  return (await fleet.simulator.ledger()).requests.length - before;
}
