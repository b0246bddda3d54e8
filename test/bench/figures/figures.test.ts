import { describe, expect, it } from 'vitest';
import type { Figure } from './figure.ts';
import { median, summarize } from './statistics.ts';
import { table } from './table.ts';

const figure: Figure = {
  name: 'posts',
  unit: 'calls/s',
  ours: [300, 100, 200],
  bare: [400, 100],
  aim: { kind: 'ratio', atLeast: 0.95 },
};

describe('the figures of the bench', () => {
  it('are medians', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it('are compared with their aim by ratio or by value', () => {
    expect(summarize(figure)).toEqual({ ours: 200, bare: 250, ratio: 0.8, met: false });
    expect(summarize({ ...figure, aim: { kind: 'ratio', atMost: 0.8 } }).met).toBe(true);
    expect(summarize({ ...figure, bare: [], aim: { kind: 'value', atMost: 200 } })).toEqual({
      ours: 200,
      bare: null,
      ratio: null,
      met: true,
    });
  });

  it('miss a ratio without a bare side, and are not judged without an aim', () => {
    expect(summarize({ ...figure, bare: [] }).met).toBe(false);
    const { aim: _aim, ...plain } = figure;
    expect(summarize(plain).met).toBeNull();
  });

  it('become a table', () => {
    expect(table([figure]).split('\n').at(-1)).toBe(
      '| posts | calls/s | 200 | 250 | 0.8 | ≥ 0.95 × | missed |',
    );
  });
});
