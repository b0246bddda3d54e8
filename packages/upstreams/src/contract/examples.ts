/**
 * What the contract suite must be told about an upstream, in the upstream's own `examples.ts`: an input that works for
 * each operation, and the code that its simulated text message carries. For tests only.
 */

/** Makes the nth input; `run` makes a call that must succeed first, and resolves to its result. */
export type Example = (
  n: number,
  run: (operation: string, input: unknown) => Promise<Record<string, unknown>>,
) => object | Promise<object>;

/** Of one upstream: its operations' examples. */
export type Examples = {
  readonly operations: Readonly<Record<string, Example>>;
  /** What a person reads off the phone; only where signing in takes a text message. */
  readonly signInCode?: string;
};
