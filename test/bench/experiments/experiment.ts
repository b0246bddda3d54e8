import type { Figure } from '../figures/figure.ts';

export type BenchContext = {
  readonly rounds: number;
  /** A short run with small sizes. */
  readonly quick: boolean;
  /** A Redis with `appendfsync everysec`, which experiments may empty. */
  readonly redisUrl: string;
  say(line: string): void;
};

export type Experiment = {
  readonly name: string;
  readonly title: string;
  run(context: BenchContext): Promise<readonly Figure[]>;
};
