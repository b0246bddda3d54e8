import type { Figure } from '../figures/figure.ts';

/** What an experiment runs with. */
export type BenchContext = {
  readonly rounds: number;
  /** A short run: small sizes, nothing that takes minutes. */
  readonly quick: boolean;
  /** A Redis with an append-only file, written every second; experiments may empty it. */
  readonly redisUrl: string;
  say(line: string): void;
};

/** One experiment. */
export type Experiment = {
  readonly name: string;
  readonly title: string;
  run(context: BenchContext): Promise<readonly Figure[]>;
};
