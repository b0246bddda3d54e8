import { expect, test } from 'vitest';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

/** A latency that keeps calls in flight across every kill, until it is removed. */
const slow = [{ kind: 'latency', ms: 1_500 }];

/** More calls than one worker makes at once, so that every killed worker has calls in flight. */
async function untilBothWork({ api }: TestStack): Promise<void> {
  await until(async () => expect((await api.upstream()).queue.active).toBeGreaterThan(10));
}

test('a worker is killed during its calls: all calls end, and nothing is booked twice', async () => {
  await using running = await startTestStack({ workers: 2 });
  const { api, stack } = running;
  await api.faults(slow);
  const ids = await postVisits(api, 120);
  for (let i = 0; i < 3; i += 1) {
    await untilBothWork(running);
    const [worker] = stack.workers;
    if (!worker) throw new Error('no worker lives');
    await stack.kill(worker);
    await stack.addWorker();
  }
  await api.faults([]);
  const ends = await allEnded(api, ids);
  const stalled = (await api.calls(ids)).filter(({ attempts }) => attempts.stalls > 0);
  expect(stalled.length).toBeGreaterThan(0);
  expect(ends.failed ?? 0).toBe(0);
  expect((ends.succeeded ?? 0) + (ends.in_doubt ?? 0)).toBe(120);
  const { visitsByItem } = await api.ledger();
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
  expect(Object.keys(visitsByItem).length).toBeGreaterThanOrEqual(ends.succeeded ?? 0);
});

test('Redis is killed and restarted: accepted calls are still there, and workers continue', async () => {
  await using running = await startTestStack({ workers: 2 });
  const { api, stack } = running;
  await api.faults(slow);
  const ids = await postVisits(api, 100);
  await untilBothWork(running);
  await stack.redis?.kill();
  const refused = await api.post('crossmark/list-qualified-reps', {
    input: { mPlanId: '30000001', locationId: '150001' },
  });
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
  await stack.redis?.restart();
  await api.faults([]);
  const ends = await allEnded(api, ids);
  expect(ends.failed ?? 0).toBe(0);
  const { visitsByItem } = await api.ledger();
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
});

test('everything is killed at once and restarted', async () => {
  await using running = await startTestStack({ workers: 2 });
  const { api, stack } = running;
  await api.faults(slow);
  const ids = await postVisits(api, 80);
  await untilBothWork(running);
  const workers = [...stack.workers];
  await Promise.all([...workers, stack.web, stack.admin].map((app) => stack.kill(app)));
  await stack.redis?.kill();
  await stack.redis?.restart();
  await Promise.all([...workers, stack.web, stack.admin].map((app) => stack.revive(app)));
  await api.faults([]);
  const ends = await allEnded(api, ids);
  expect(ends.failed ?? 0).toBe(0);
  expect((ends.succeeded ?? 0) + (ends.in_doubt ?? 0)).toBe(80);
  const { visitsByItem } = await api.ledger();
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
});
