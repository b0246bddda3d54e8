import { defineConfig } from 'vitest/config';

const node = { environment: 'node' as const, retry: 0, globalSetup: ['test/support/global-setup.ts'] };

export default defineConfig({
  test: {
    projects: [
      { test: { ...node, name: 'unit', include: ['apps/*/src/**/*.test.ts', 'packages/*/src/**/*.test.ts', 'test/repository/**/*.test.ts'], testTimeout: 20_000, hookTimeout: 20_000 } },
      { test: { ...node, name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 30_000 } },
      { test: { ...node, name: 'integration', include: ['test/integration/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { ...node, name: 'chaos', include: ['test/chaos/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 60_000 } },
      { test: { ...node, name: 'browser', include: ['test/browser/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 60_000 } },
    ],
  },
});
