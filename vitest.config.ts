import { defineConfig } from 'vitest/config';

/** Seconds in ms. */
const s = (seconds: number): number => seconds * 1_000;

/**
 * One kind of tests. They run kind after kind; those that start whole systems run file after file, because each of
 * them already uses every core there is.
 */
const kind = (
  name: string,
  groupOrder: number,
  include: string[],
  timeoutMs: number,
  oneAtATime = false,
) => ({
  test: {
    name,
    include,
    environment: 'node' as const,
    retry: 0,
    testTimeout: timeoutMs,
    hookTimeout: s(60),
    sequence: { groupOrder },
    ...(oneAtATime && { maxWorkers: 1 }),
  },
});

const besideTheCode = [
  'apps/*/src/**/*.test.ts',
  'packages/*/src/**/*.test.ts',
  'test/repository/**/*.test.ts',
];

export default defineConfig({
  test: {
    // Of the whole run, not of each project: one Redis for all.
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      kind('unit', 0, besideTheCode, s(20)),
      kind('contract', 1, ['test/contract/**/*.test.ts'], s(30)),
      kind('integration', 2, ['test/integration/**/*.test.ts'], s(90), true),
      kind('chaos', 3, ['test/chaos/**/*.test.ts'], s(180), true),
      kind('browser', 4, ['test/browser/**/*.test.ts'], s(120), true),
    ],
  },
});
