import { expect, test } from 'vitest';
import { allEnded, postVisits, startTestStack, until } from '../support/stack.ts';

test('two workers, upstream down, 200 calls: nothing hammered, nothing lost, nothing spent on waiting', async () => {
  await using running = await startTestStack({ workers: 2 });
  const { api } = running;
  await allEnded(api, await postVisits(api, 4));
  await api.faults([{ kind: 'status', status: 503 }]);
  const before = (await api.ledger()).requests.length;
  const ids = await postVisits(api, 200, 10);
  await until(async () => expect((await api.upstream()).breaker.state).toBe('open'));

  const late = await api.post('crossmark/list-qualified-reps', {
    input: { mPlanId: '30000001', locationId: '150001' },
  });
  expect(late.status).toBe(202);
  expect(Number(late.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(late.body).toMatchObject({
    status: 'deferred',
    holds: [expect.objectContaining({ kind: 'breaker', until: expect.any(String) })],
  });
  const rejected = await api.post('crossmark/list-qualified-reps', {
    input: { mPlanId: '30000001', locationId: '150001' },
    options: { ifOpen: 'reject' },
  });
  expect(rejected).toMatchObject({
    status: 503,
    body: { error: 'External service temporarily unavailable' },
  });
  expect(rejected.headers.get('retry-after')).toMatch(/^\d+$/);

  // Two trials fail: generations 2 (half-open), 3 (open), 4, 5.
  await until(async () => expect((await api.upstream()).breaker.generation).toBeGreaterThanOrEqual(5));
  const { generation } = (await api.upstream()).breaker;
  const seen = (await api.ledger()).requests.length - before;
  expect(seen).toBeLessThanOrEqual(5 + 2 * 10 + Math.ceil(generation / 2));

  await api.faults([]);
  expect(await allEnded(api, [...ids, String(late.body.id)])).toEqual({ succeeded: 201 });
  await until(async () =>
    expect(await api.upstream()).toMatchObject({ breaker: { state: 'closed', permits: null }, holds: [] }),
  );
  const calls = await api.calls(ids);
  // Only what was in flight at the trip had an exchange that could be charged.
  expect(calls.filter(({ attempts }) => attempts.made > 1).length).toBeLessThanOrEqual(5 + 2 * 10);
  expect(Math.max(...calls.map(({ attempts }) => attempts.made))).toBeLessThanOrEqual(2);
  const { visitsMade, visitsByItem } = await api.ledger();
  expect(visitsMade).toBe(204);
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
});

test('a second start finds yesterday’s calls', async () => {
  await using running = await startTestStack({ workers: 1 });
  const { api, stack } = running;
  await api.faults([{ kind: 'status', status: 503 }]);
  const ids = await postVisits(api, 10);
  await until(async () => expect((await api.upstream()).breaker.state).toBe('open'));
  for (const app of [...stack.workers, stack.web, stack.admin]) await stack.kill(app, 'SIGTERM');
  await stack.redis?.restart();
  await api.faults([]);
  await stack.revive(stack.web);
  await stack.addWorker();
  expect(await allEnded(api, ids)).toEqual({ succeeded: 10 });
});
