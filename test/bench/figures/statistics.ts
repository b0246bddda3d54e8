/** Medians and ratios of what the rounds gave. */
import type { Figure } from './figure.ts';

/** The middle value, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** A figure's medians, their quotient (null without a bare side) and whether the aim was met (null without one). */
export type Summary = {
  readonly ours: number;
  readonly bare: number | null;
  readonly ratio: number | null;
  readonly met: boolean | null;
};

/** Judges a figure by the medians of its rounds. */
export function summarize({ ours, bare, aim }: Figure): Summary {
  const medians = { ours: median(ours), bare: bare.length === 0 ? null : median(bare) };
  const ratio = medians.bare === null ? null : medians.ours / medians.bare;
  if (!aim) return { ...medians, ratio, met: null };
  const judged = aim.kind === 'ratio' ? (ratio ?? Number.NaN) : medians.ours;
  const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = aim;
  return { ...medians, ratio, met: judged >= atLeast && judged <= atMost };
}
