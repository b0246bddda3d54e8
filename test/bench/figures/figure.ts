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
