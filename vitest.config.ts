import { defineConfig } from 'vitest/config';

/** Seconds in ms. */
const s = (seconds: number): number => seconds * 1_000;

/**
 * Groups run one after the other. Systems that mostly wait share two cores well; where the clock, a browser or a storm of
 * failures takes part, one at a time.
 */
const groups = {
  parts: { sequence: { groupOrder: 0 } },
  systems: { sequence: { groupOrder: 1 }, maxWorkers: 2 },
  alone: { sequence: { groupOrder: 2 }, maxWorkers: 1 },
} as const;

/** One kind of tests. */
const kind = (name: string, group: keyof typeof groups, include: string[], timeoutMs: number) => ({
  test: {
    name,
    include,
    environment: 'node' as const,
    retry: 0,
    testTimeout: timeoutMs,
    hookTimeout: s(60),
    ...groups[group],
  },
});

/** Every answer of the API is held against its OpenAPI document as well: here, and by a public validating proxy. */
const checkingAnswers = ({ test }: ReturnType<typeof kind>) => ({
  test: { ...test, setupFiles: ['test/support/check-answers.ts'], env: { VALIDATING_PROXY: 'yes' } },
});

const besideTheCode = [
  'apps/*/src/**/*.test.ts',
  'packages/*/src/**/*.test.ts',
  'test/repository/**/*.test.ts',
  'test/bench/**/*.test.ts',
];

export default defineConfig({
  test: {
    // Of the whole run, not of each project: one Redis for all.
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      kind('unit', 'parts', besideTheCode, s(20)),
      kind('contract', 'parts', ['test/contract/**/*.test.ts'], s(30)),
      checkingAnswers(kind('integration', 'systems', ['test/integration/**/*.test.ts'], s(120))),
      kind('redis', 'alone', ['test/redis/**/*.test.ts'], s(180)),
      kind('chaos', 'alone', ['test/chaos/**/*.test.ts'], s(400)),
      kind('browser', 'alone', ['test/browser/**/*.test.ts'], s(120)),
    ],
  },
});
