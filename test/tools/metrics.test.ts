/** promtool checks the apps' /metrics. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { measuredApps, scrape } from '../support/programs/metrics.ts';
import { promtool } from '../support/programs/promtool.ts';
import { allEnded, postVisits, startTestStack, type TestStack } from '../support/stack.ts';

let running: TestStack;
beforeAll(async () => {
  running = await startTestStack({ workers: 1, env: { CALLBACK_HOSTS: '127.0.0.1' } });
  // Creates the series that are counted per call.
  await allEnded(running.api, await postVisits(running.api, 2));
});
afterAll(() => running?.[Symbol.asyncDispose]());

test.each(measuredApps)('promtool accepts the metrics of %s', async (app) => {
  const input = await scrape(running, app);
  expect(input).toContain('# TYPE recloser_');
  expect(await promtool(['check', 'metrics'], { input })).toEqual({ code: 0, output: '' });
});
