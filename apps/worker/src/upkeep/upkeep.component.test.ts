import { type EnqueueRequest, enqueueCall } from '@recloser/calls/write/enqueue';
import { LastGoodFinder, resultKeyOf, wantLastGood } from '@recloser/calls/write/last-good';
import { callOptions } from '@recloser/calls/write/options';
import { expect, test, vi } from 'vitest';
import { createKit, until } from '../../test-kit/kit.ts';
import { Upkeep } from './upkeep.ts';

type Kit = Awaited<ReturnType<typeof createKit>>;

function createUpkeep({ redis, root, queue, log }: Kit) {
  const finished = vi.fn();
  const upkeep = new Upkeep({ redis, staleTtlSeconds: 60, intervalMs: 20, log });
  upkeep.watch({ root, queue, metrics: { finished } });
  return { upkeep, finished };
}

test('expires a call that waits behind a hold past its expiresAt', async () => {
  await using kit = await createKit({ concurrency: 1 });
  await kit.queue.pause();
  const request: EnqueueRequest = {
    redis: kit.redis,
    queue: kit.queue,
    prefix: kit.root.slice(0, kit.root.lastIndexOf(':{')),
    upstream: kit.root.slice(kit.root.lastIndexOf('{') + 1, -1),
    operation: { name: 'read', retry: { maxAttempts: 3 } },
    input: {},
    options: callOptions(0).parse({ expiresAt: new Date(Date.now() + 50).toISOString() }),
    sealer: kit.sealer,
    requestId: 'r',
  };
  const stored = await enqueueCall(request);
  const { upkeep, finished } = createUpkeep(kit);
  upkeep.start();
  if (stored.kind !== 'stored') throw new Error(stored.kind);
  await kit.until(stored.id, 'expired');
  await until(() => expect(finished).toHaveBeenCalledWith('read', 'expired'));
  await upkeep.stop();
  await upkeep.stop();
});

test('keeps results, still encrypted, only for operations whose stale results were requested', async () => {
  await using kit = await createKit({ concurrency: 1 });
  const { upkeep } = createUpkeep(kit);
  const key = resultKeyOf('read', { a: 1 });
  const done = {
    id: 'call-1',
    data: { operation: 'read', resultKey: key },
    returnvalue: { result: { sealed: 's1.x' } },
    finishedOn: Date.now(),
  };
  const finder = new LastGoodFinder(kit);
  await upkeep.tidy();
  upkeep.ended(kit.root, done);
  await wantLastGood(kit, 'read');
  const next = createUpkeep(kit).upkeep;
  await next.tidy();
  expect(await finder.find(key, 60_000)).toBeUndefined();
  next.ended(kit.root, { ...done, data: { operation: 'other', resultKey: key } });
  next.ended(kit.root, { ...done, finishedOn: undefined });
  next.ended(kit.root, done);
  await until(async () =>
    expect(await finder.find(key, 60_000)).toMatchObject({ id: 'call-1', result: { sealed: 's1.x' } }),
  );
  expect(await finder.find(key, -1)).toBeUndefined();
});
