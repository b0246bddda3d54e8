/** Reads `/metrics` of the apps of a running stack. */
import { expect } from 'vitest';
import type { TestStack } from '../stack.ts';

export const measuredApps = ['web', 'worker', 'admin'] as const;
export type MeasuredApp = (typeof measuredApps)[number];

/** Returns an app's metrics as text. `worker` means the first worker. */
export async function scrape(running: TestStack, app: MeasuredApp): Promise<string> {
  const answer = await fetch(`${addressOf(running, app)}/metrics`);
  expect(answer.status).toBe(200);
  return answer.text();
}

function addressOf({ stack }: TestStack, app: MeasuredApp): string {
  if (app !== 'worker') return stack.urls[app];
  const line = stack.workers[0]?.lines.find((one) => one.includes('worker health listens')) ?? '{}';
  return (JSON.parse(line) as { url: string }).url;
}
