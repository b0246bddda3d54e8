import { expect, test } from 'vitest';
import { allEnded, postVisits, startTestStack, until } from '../support/stack.ts';

/** Reads and writes side by side under latency, so that a kill always hits calls in flight. */
const slow = [{ kind: 'latency', ms: 150 }];

test('a worker is killed in the middle of its calls: all reach their end, nothing is booked twice', async () => {
  await using running = await startTestStack({ workers: 2 });
  const { api, stack } = running;
  await api.faults(slow);
  const ids = await postVisits(api, 120);
  for (let i = 0; i < 3; i += 1) {
    await until(async () => expect((await api.upstream()).queue.active).toBeGreaterThan(5));
    const [worker] = stack.workers;
    if (!worker) throw new Error('no worker lives');
    await stack.kill(worker);
    await stack.addWorker();
  }
  const ends = await allEnded(api, ids);
  expect(ends.failed ?? 0).toBe(0);
  expect((ends.succeeded ?? 0) + (ends.in_doubt ?? 0)).toBe(120);
  const { visitsByItem } = await api.ledger();
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
  expect(Object.keys(visitsByItem).length).toBeGreaterThanOrEqual(ends.succeeded ?? 0);
});

test('Redis is killed and comes back: what was accepted is there, workers go on by themselves', async () => {
  await using running = await startTestStack({ workers: 2 });
  const { api, stack } = running;
  await api.faults(slow);
  const ids = await postVisits(api, 100);
  await until(async () => expect((await api.upstream()).queue.active).toBeGreaterThan(5));
  await stack.redis?.kill();
  const started = performance.now();
  const refused = await api.post('crossmark/list-qualified-reps', {
    input: { mPlanId: '30000001', locationId: '150001' },
  });
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
  expect(performance.now() - started).toBeLessThan(2_000);
  await stack.redis?.restart();
  const ends = await allEnded(api, ids);
  expect(ends.failed ?? 0).toBe(0);
  const { visitsByItem } = await api.ledger();
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
});

test('everything is killed at once and started again', async () => {
  await using running = await startTestStack({ workers: 2 });
  const { api, stack } = running;
  await api.faults(slow);
  const ids = await postVisits(api, 80);
  const workers = [...stack.workers];
  await Promise.all([...workers, stack.web, stack.admin].map((app) => stack.kill(app)));
  await stack.redis?.kill();
  await stack.redis?.restart();
  await Promise.all([...workers, stack.web, stack.admin].map((app) => stack.revive(app)));
  const ends = await allEnded(api, ids);
  expect(ends.failed ?? 0).toBe(0);
  expect((ends.succeeded ?? 0) + (ends.in_doubt ?? 0)).toBe(80);
  const { visitsByItem } = await api.ledger();
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
});
