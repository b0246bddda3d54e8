/**
 * How soon all waiting calls are done after an upstream recovers, compared with the theoretical minimum and with BullMQ's
 * backoff. The recovered upstream has capacity for only a part of the fleet.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Figure } from '../figures/figure.ts';
import { answersOf, type Fleet, startBareFleet, startOurFleet } from '../sides/outage-fleet.ts';
import { untilTrue } from '../sides/until-true.ts';
import type { BenchContext, Experiment } from './experiment.ts';

/** `scale` multiplies the outage and all times of both sides. */
type Plan = { readonly scale: number; readonly rounds: number; readonly calls: number };

const workers = 2;
/** A little less than the reset time, so that the next probe is still to come. */
const outageMs = 50_000;
/** The upstream's latency and capacity. The fleet's concurrency is twice the capacity. */
const latencyMs = 100;
const roomFor = 10;
const patienceMs = 120_000;

/** In seconds, except for `failed` and `refused`. */
type Recovery = {
  readonly first: number;
  readonly drained: number;
  /** The minimum, from the time of the next probe and the upstream's capacity. Only for our side. */
  readonly idealFirst: number;
  readonly idealDrained: number;
  readonly failed: number;
  readonly refused: number;
};

/** From the upstream's recovery to the first success, and to an empty queue. */
export const recovery: Experiment = {
  name: 'recovery',
  title: 'After an outage',
  async run(context) {
    const { rounds, quick } = context;
    if (quick) return measure(context, { scale: 0.1, rounds: 1, calls: 100 });
    const often = await measure(context, { scale: 0.1, rounds, calls: 500 });
    return [...often, ...(await measure(context, { scale: 1, rounds: 1, calls: 500 }))];
  },
};

async function measure(context: BenchContext, plan: Plan): Promise<readonly Figure[]> {
  const { redisUrl, say } = context;
  const options = { redisUrl, workers, scale: plan.scale };
  const ours = await startOurFleet({ ...options, name: `recovery-ours-${plan.scale}` });
  const bare = await startBareFleet({ ...options, name: `recovery-bare-${plan.scale}` });
  const seen: { ours: Recovery[]; bare: Recovery[] } = { ours: [], bare: [] };
  try {
    for (let round = 1; round <= plan.rounds; round += 1) {
      say(`${plan.calls} calls wait, times × ${plan.scale}: round ${round} of ${plan.rounds}`);
      await startAnew(redisUrl, [ours, bare]);
      const [mine, theirs] = await Promise.all([outage(ours, plan), outage(bare, plan)]);
      seen.ours.push(mine);
      seen.bare.push(theirs);
    }
  } finally {
    await Promise.all([ours.stop(), bare.stop()]);
  }
  return figuresOf(plan, seen);
}

async function startAnew(redisUrl: string, fleets: readonly Fleet[]): Promise<void> {
  const redis = new Redis(redisUrl);
  await redis.flushall();
  redis.disconnect();
  await Promise.all(fleets.map((fleet) => fleet.settle()));
}

async function outage(fleet: Fleet, { scale, calls }: Plan): Promise<Recovery> {
  const { simulator } = fleet;
  const before = (await simulator.ledger()).requests.length;
  await simulator.faults([{ kind: 'status', status: 503 }]);
  const downAt = performance.now();
  await fleet.post(calls);
  await pause(Math.max(0, downAt + outageMs * scale - performance.now()));
  const retryAtMs = await fleet.retryAtMs();
  const room = { kind: 'capacity', limit: roomFor, status: 503 };
  const backAt = Date.now();
  await simulator.faults([room, { kind: 'latency', ms: latencyMs }]);
  const successes = async () => (await answersOf(simulator)).filter((at) => at >= backAt);
  const allEnded = async () => (await successes()).length + (await fleet.failed()) >= calls;
  await untilTrue(allEnded, { timeoutMs: patienceMs * Math.max(scale, 0.5), everyMs: 200 });
  const answers = await successes();
  const { requests } = await simulator.ledger();
  await simulator.faults([]);
  const seconds = (atMs: number) => (atMs + latencyMs - backAt) / 1000;
  const idealFirst = (Math.max(0, (retryAtMs ?? backAt) - backAt) + latencyMs) / 1000;
  return {
    first: seconds(Math.min(...answers)),
    drained: seconds(Math.max(...answers)),
    idealFirst,
    idealDrained: idealFirst + (calls * latencyMs) / roomFor / 1000,
    failed: await fleet.failed(),
    refused: requests.slice(before).filter(({ at, outcome }) => at >= backAt && outcome === 'answered 503')
      .length,
  };
}

function figuresOf(plan: Plan, { ours, bare }: { ours: Recovery[]; bare: Recovery[] }): readonly Figure[] {
  const times = plan.scale === 1 ? 'full scale' : `times × ${plan.scale}`;
  const figure = (name: string, unit: string, key: keyof Recovery): Figure => ({
    name: `${plan.calls} calls wait, ${times}: ${name}`,
    unit,
    ours: ours.map((one) => one[key]),
    bare: bare.map((one) => one[key]),
  });
  const overIdeal = (
    name: string,
    key: 'first' | 'drained',
    ideal: 'idealFirst' | 'idealDrained',
  ): Figure => ({
    name: `${plan.calls} calls wait, ${times}: ${name}, ours ÷ the least possible`,
    unit: '×',
    ours: ours.map((one) => one[key] / one[ideal]),
    bare: [],
  });
  return [
    figure('first success', 's', 'first'),
    overIdeal('first success', 'first', 'idealFirst'),
    figure('drained', 's', 'drained'),
    overIdeal('drained', 'drained', 'idealDrained'),
    figure('refused while it recovers', 'requests', 'refused'),
    figure('given up for good', 'calls', 'failed'),
  ];
}
