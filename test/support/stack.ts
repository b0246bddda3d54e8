/** A whole system for one test: real processes and its own Redis, stopped with the test. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Stack, startStack } from '@recloser/local-stack/stack/stack';
import { StackApi, visitInput } from '@recloser/local-stack/stack/stack-api';
import { expect, vi } from 'vitest';

export type TestStack = {
  readonly stack: Stack;
  readonly api: StackApi;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Short times, so that an outage fits in a test. */
export const quick = {
  NODE_ENV: 'development',
  LOG_LEVEL: 'info',
  // Starts an embedded Redis, which tests may kill, even if the run has a shared one.
  REDIS_URL: '',
  CROSSMARK_BREAKER_RESET_MS: '1500',
  CROSSMARK_BACKOFF_BASE_MS: '200',
  CROSSMARK_TIMEOUT_MS: '4000',
  READ_BACK_WAITS_MS: '500,2000,5000',
  // Tests end sessions more often than an account would stand.
  SIGN_IN_LIMIT: '10000',
  WALMART_EDR_BREAKER_RESET_MS: '1500',
  WALMART_EDR_BACKOFF_BASE_MS: '200',
};

/** Starts Redis, simulator, web, admin and workers. */
export async function startTestStack({
  workers = 2,
  env = {},
}: {
  workers?: number;
  env?: Record<string, string>;
} = {}): Promise<TestStack> {
  const dataDir = await mkdtemp(join(tmpdir(), 'recloser-test-'));
  const stack = await startStack({ env: { ...quick, ...env }, workers, dataDir });
  const api = new StackApi(stack.urls);
  return {
    stack,
    api,
    async [Symbol.asyncDispose]() {
      await stack.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Posts visits and returns their ids. Fails unless all are accepted. */
export async function postVisits(api: StackApi, count: number, first = 0): Promise<string[]> {
  const ids: string[] = [];
  for (let n = first; n < first + count; n += 20) {
    const wave = Array.from({ length: Math.min(20, first + count - n) }, (_, i) =>
      api.post('crossmark/schedule-event', { input: visitInput(n + i) }),
    );
    for (const { status, body } of await Promise.all(wave)) {
      expect(status, JSON.stringify(body)).toBe(202);
      ids.push(String(body.id));
    }
  }
  return ids;
}

/** Waits until the check passes. */
export function until<T>(check: () => T | Promise<T>, timeout = 60_000): Promise<T> {
  return vi.waitFor(check, { timeout, interval: 150 });
}

const ended = ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'];

/** Waits until every call has ended, and counts the calls by status. */
export async function allEnded(
  api: StackApi,
  ids: readonly string[],
  timeout = 90_000,
): Promise<Record<string, number>> {
  return await until(async () => {
    const counts: Record<string, number> = {};
    for (const { status } of await api.calls(ids)) counts[status] = (counts[status] ?? 0) + 1;
    const open = Object.keys(counts).filter((status) => !ended.includes(status));
    expect(open, JSON.stringify(counts)).toEqual([]);
    return counts;
  }, timeout);
}
