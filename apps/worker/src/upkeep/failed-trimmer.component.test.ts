import { expect, test } from 'vitest';
import { createKit, outcome, ScriptedClient } from '../../test-kit/kit.ts';
import { FailedTrimmer } from './failed-trimmer.ts';

test('trims failed calls to the limit, once per interval for the fleet, and keeps calls in doubt', async () => {
  await using kit = await createKit({ concurrency: 1 });
  const client = new ScriptedClient();
  client.onRun = async (operation, _input, context) => {
    if (operation === 'notify') await context.onSending();
    return operation === 'notify' ? outcome('in_doubt') : outcome('reject');
  };
  await kit.worker(client);
  const doubtful = await kit.post('notify');
  await kit.until(doubtful, 'in_doubt');
  const ids: string[] = [];
  for (let count = 0; count < 4; count += 1) {
    const id = await kit.post('read');
    await kit.until(id, 'failed');
    ids.push(id);
  }
  const failedTrimmer = () =>
    new FailedTrimmer({
      redis: kit.redis,
      upstreams: [{ root: kit.root, queue: kit.queue }],
      retention: { maxAgeMs: 60_000, maxCount: 3 },
      intervalMs: 60_000,
      log: kit.log,
    });
  await failedTrimmer().trim();
  const left = await Promise.all([doubtful, ...ids].map((id) => kit.queue.getJob(id)));
  expect(left[0]).toBeDefined();
  expect(left.map((job) => job !== undefined)).toEqual([true, false, true, true, true]);
  const again = await kit.post('read');
  await kit.until(again, 'failed');
  await failedTrimmer().trim();
  expect(await kit.queue.getFailedCount()).toBe(5);
});
