/** Outages from the first failure to the last held call. The reset time is long: tests end it with `dueNow`. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const env = {
  ADMIN_PASSWORD: 'correct horse battery',
  CROSSMARK_BREAKER_RESET_MS: '600000',
  CROSSMARK_TIMEOUT_MS: '60000',
  WALMART_EDR_BREAKER_RESET_MS: '600000',
};
const down = { kind: 'status', status: 503 };
const walmart = 'walmart-edr';

let running: TestStack;
beforeAll(async () => {
  running = await startTestStack({ workers: 2, env });
});
afterAll(() => running[Symbol.asyncDispose]());

const untilOpen = (name: string) =>
  until(async () =>
    expect(await running.api.upstream(name)).toMatchObject({
      breaker: { state: 'open' },
      queue: { active: 0 },
    }),
  );

const untilClosed = (name: string) =>
  until(async () =>
    expect(await running.api.upstream(name)).toMatchObject({
      breaker: { state: 'closed', permits: null },
      holds: [],
    }),
  );

/** Ends the reset time, so that a probe may start. */
async function endResetTime(name: string): Promise<void> {
  const redis = new Redis(running.stack.redisUrl);
  const [seconds] = await redis.time();
  await redis.hset(`recloser:{${name}}:breaker`, 'retryAt', Number(seconds) * 1_000);
  redis.disconnect();
}

/** Waits for a failed probe: half-open, then open again. */
async function failOneTrial(name: string): Promise<void> {
  const { generation } = (await running.api.upstream(name)).breaker;
  await endResetTime(name);
  await until(async () =>
    expect(await running.api.upstream(name)).toMatchObject({
      breaker: { state: 'open', generation: generation + 2 },
      queue: { active: 0 },
    }),
  );
}

test('two workers, upstream down, 200 calls: few requests, no lost call, and waiting costs no attempt', async () => {
  const { api } = running;
  const name = 'crossmark';
  await allEnded(api, await postVisits(api, 4));
  await api.faults([down]);
  const before = (await api.ledger()).requests.length;
  const ids = await postVisits(api, 200, 10);
  await untilOpen(name);

  const read = { input: { mPlanId: '30000001', locationId: '150001' } };
  const late = await api.post('crossmark/list-qualified-reps', read);
  expect(late.status).toBe(202);
  expect(Number(late.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(late.body).toMatchObject({
    status: 'deferred',
    holds: [expect.objectContaining({ kind: 'breaker', until: expect.any(String) })],
  });
  const rejected = await api.post('crossmark/list-qualified-reps', {
    ...read,
    options: { ifOpen: 'reject' },
  });
  expect(rejected).toMatchObject({
    status: 503,
    body: { error: 'External service temporarily unavailable' },
  });
  expect(rejected.headers.get('retry-after')).toMatch(/^\d+$/);

  const atTrip = (await api.ledger()).requests.length;
  expect(atTrip - before).toBeLessThanOrEqual(5 + 2 * 10);
  for (let trial = 0; trial < 2; trial += 1) await failOneTrial(name);
  expect((await api.ledger()).requests.length - atTrip).toBe(2);

  await api.faults([]);
  await endResetTime(name);
  expect(await allEnded(api, [...ids, String(late.body.id)])).toEqual({ succeeded: 201 });
  await untilClosed(name);
  const calls = await api.calls(ids);
  // Only calls in flight when the breaker opened made an attempt.
  expect(calls.filter(({ attempts }) => attempts.made > 1).length).toBeLessThanOrEqual(5 + 2 * 10);
  expect(Math.max(...calls.map(({ attempts }) => attempts.made))).toBeLessThanOrEqual(2);
  const { visitsMade, visitsByItem } = await api.ledger();
  expect(visitsMade).toBe(204);
  expect(Math.max(...Object.values(visitsByItem))).toBe(1);
});

test('an upstream without a probe operation: each probe is one real call, and costs it no attempt', async () => {
  const { api, stack } = running;
  const post = async (eventId: number) => {
    const { status, body } = await api.post(`${walmart}/get-report`, { input: { eventId: String(eventId) } });
    expect(status).toBe(202);
    return String(body.id);
  };
  const first = await post(606_031);
  await until(async () =>
    expect((await api.upstream(walmart)).holds).toEqual([expect.objectContaining({ kind: 'sign-in' })]),
  );
  const admin = await AdminApi.logIn(stack.urls.admin, 'admin', env.ADMIN_PASSWORD);
  expect((await admin.post(`/api/sign-in/${walmart}/send-code`, {})).status).toBe(200);
  expect((await admin.post(`/api/sign-in/${walmart}/verify`, { code: '123456' })).status).toBe(200);
  expect(await allEnded(api, [first])).toEqual({ succeeded: 1 });
  expect((await api.call(first)).attempts.made).toBe(1);

  await api.faults([down], { name: walmart });
  const before = (await api.ledger(walmart)).requests.length;
  const ids = await Promise.all(Array.from({ length: 30 }, (_, n) => post(606_100 + n)));
  await untilOpen(walmart);
  const atTrip = (await api.ledger(walmart)).requests.length;
  expect(atTrip - before).toBeLessThanOrEqual(3 + 2 * 10);
  for (let trial = 0; trial < 3; trial += 1) await failOneTrial(walmart);
  expect((await api.ledger(walmart)).requests.length - atTrip).toBe(3);

  await api.faults([], { name: walmart });
  await endResetTime(walmart);
  expect(await allEnded(api, ids)).toEqual({ succeeded: 30 });
  // Calls in flight when the breaker opened are charged. A failed probe is not.
  const spent = (await api.calls(ids)).reduce((sum, { attempts }) => sum + attempts.made, 0);
  expect(spent - 30).toBeLessThanOrEqual(atTrip - before);
  await untilClosed(walmart);
  expect((await api.ledger(walmart)).smsSent).toBe(1);
});

test('a restart on the same data continues the calls of the earlier run', async () => {
  const { api, stack } = running;
  await api.faults([down]);
  const ids = await postVisits(api, 10, 300);
  await untilOpen('crossmark');
  for (const app of [...stack.workers, stack.web, stack.admin]) await stack.kill(app, 'SIGTERM');
  await stack.redis?.restart();
  await api.faults([]);
  await endResetTime('crossmark');
  await stack.revive(stack.web);
  await stack.addWorker();
  expect(await allEnded(api, ids)).toEqual({ succeeded: 10 });
});
