/** All experiments, in order. */
import { backlog } from './backlog.ts';
import { deadUpstream } from './dead-upstream.ts';
import type { Experiment } from './experiment.ts';
import { intake } from './intake.ts';
import { recovery } from './recovery.ts';
import { redisCost } from './redis-cost.ts';
import { worker } from './worker.ts';

export const experiments: readonly Experiment[] = [
  intake,
  worker,
  redisCost,
  deadUpstream,
  recovery,
  backlog,
];
