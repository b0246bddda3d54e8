import type { Figure } from './figure.ts';

/** Returns NaN for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** `ratio` is null without a bare side, `met` without an aim. */
export type Summary = {
  readonly ours: number;
  readonly bare: number | null;
  readonly ratio: number | null;
  readonly met: boolean | null;
};

export function summarize({ ours, bare, aim }: Figure): Summary {
  const medians = { ours: median(ours), bare: bare.length === 0 ? null : median(bare) };
  const ratio = medians.bare === null ? null : medians.ours / medians.bare;
  if (!aim) return { ...medians, ratio, met: null };
  const judged = aim.kind === 'ratio' ? (ratio ?? Number.NaN) : medians.ours;
  const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = aim;
  return { ...medians, ratio, met: judged >= atLeast && judged <= atMost };
}
