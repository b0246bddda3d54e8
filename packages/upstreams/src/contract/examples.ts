/** What the contract suite needs to know about an upstream. Each upstream has an `examples.ts`. For tests only. */

/** Builds the nth valid input. `run` makes a call that must succeed first, and resolves to its result. */
export type Example = (
  n: number,
  run: (operation: string, input: unknown) => Promise<Record<string, unknown>>,
) => object | Promise<object>;

export type Examples = {
  readonly operations: Readonly<Record<string, Example>>;
  /** The code in the simulated text message, if the sign-in needs one. */
  readonly signInCode?: string;
};
