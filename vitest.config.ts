import { defineConfig } from 'vitest/config';

/** Seconds in ms. */
const s = (seconds: number): number => seconds * 1_000;

/** Groups run one after the other. Most tests wait more than they compute, so more of them run than there are cores. */
const groups = {
  parts: { sequence: { groupOrder: 0 }, maxWorkers: 4 },
  systems: { sequence: { groupOrder: 1 }, maxWorkers: 3 },
  // The clock, a browser or a storm of failures takes part.
  alone: { sequence: { groupOrder: 2 }, maxWorkers: 3 },
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
    // A condition is waited for as long as the test may last: how fast the machine is decides nothing.
    expect: { requireAssertions: true, poll: { timeout: timeoutMs * 0.9, interval: 20 } },
    ...groups[group],
  },
});

/** Nothing but this process: no Redis, no child process, no file that another test writes. */
const inOneProcess = ({ test }: ReturnType<typeof kind>) => ({
  test: {
    ...test,
    exclude: ['**/*.component.test.ts', '**/node_modules/**'],
    pool: 'threads' as const,
    isolate: false,
  },
});

/** Every answer of the API is held against its OpenAPI document. */
const checkingAnswers = ({ test }: ReturnType<typeof kind>) => ({
  test: { ...test, setupFiles: ['test/support/check-answers.ts'] },
});

const besideTheCode = ['apps/*/src', 'packages/*/src', 'tools/*/src', 'test/repository', 'test/bench'];
const under = (folders: string[], ending: string) => folders.map((folder) => `${folder}/**/*${ending}`);

/** `npm test` runs the first four, `npm run test:full` the others. */
export default defineConfig({
  test: {
    // Counted by .ci/run.
    reporters: process.env.TEST_REPORT
      ? ['default', ['json', { outputFile: process.env.TEST_REPORT }]]
      : ['default'],
    // Of the whole run, not of each project: one Redis for all.
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      inOneProcess(kind('unit', 'parts', under(besideTheCode, '.test.ts'), s(20))),
      kind('component', 'parts', under(besideTheCode, '.component.test.ts'), s(60)),
      kind('contract', 'parts', ['test/contract/**/*.test.ts'], s(60)),
      checkingAnswers(kind('main-paths', 'systems', ['test/main-paths/**/*.test.ts'], s(120))),
      checkingAnswers(kind('integration', 'systems', ['test/integration/**/*.test.ts'], s(120))),
      kind('tools', 'systems', ['test/tools/**/*.test.ts'], s(300)),
      kind('redis', 'alone', ['test/redis/**/*.test.ts'], s(300)),
      kind('chaos', 'alone', ['test/chaos/**/*.test.ts'], s(400)),
      kind('browser', 'alone', ['test/browser/**/*.test.ts'], s(300)),
    ],
  },
});
