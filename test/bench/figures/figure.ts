/** The bounds for the median of ours (`value`), or for its ratio to the median of bare (`ratio`). */
export type Aim = {
  readonly kind: 'ratio' | 'value';
  readonly atLeast?: number;
  readonly atMost?: number;
};

/** One figure of both sides. */
export type Figure = {
  readonly name: string;
  readonly unit: string;
  /** One per round. */
  readonly ours: readonly number[];
  /** One per round. Empty if there is nothing to compare with. */
  readonly bare: readonly number[];
  readonly aim?: Aim;
  readonly note?: string;
};
