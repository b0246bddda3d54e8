/** What an experiment of the bench is, and what it finds. */

/** What was hoped for: ours divided by bare, or ours itself, medians both, within these bounds. */
export type Aim = {
  readonly kind: 'ratio' | 'value';
  readonly atLeast?: number;
  readonly atMost?: number;
};

/** One figure of ours beside the same of the bare parts. */
export type Figure = {
  readonly name: string;
  readonly unit: string;
  /** One per round. */
  readonly ours: readonly number[];
  /** One per round; empty where there is nothing to compare with. */
  readonly bare: readonly number[];
  readonly aim?: Aim;
  readonly note?: string;
};

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
