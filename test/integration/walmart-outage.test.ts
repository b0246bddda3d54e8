import { expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { allEnded, startTestStack, until } from '../support/stack.ts';

const name = 'walmart-edr';

test('an upstream without a probe: each trial is one real call, which loses nothing by it', async () => {
  await using running = await startTestStack({
    workers: 2,
    env: { ADMIN_PASSWORD: 'correct horse battery', WALMART_EDR_BREAKER_RESET_MS: '700' },
  });
  const { api, stack } = running;
  const post = async (eventId: number) => {
    const { status, body } = await api.post(`${name}/get-report`, { input: { eventId: String(eventId) } });
    expect(status).toBe(202);
    return String(body.id);
  };
  const first = await post(606_031);
  await until(async () =>
    expect((await api.upstream(name)).holds).toEqual([expect.objectContaining({ kind: 'sign-in' })]),
  );

  const admin = await AdminApi.logIn(stack.urls.admin, 'admin', 'correct horse battery');
  expect((await admin.post(`/api/sign-in/${name}/send-code`, {})).status).toBe(200);
  expect((await admin.post(`/api/sign-in/${name}/verify`, { code: '123456' })).status).toBe(200);
  expect(await allEnded(api, [first])).toEqual({ succeeded: 1 });
  expect((await api.call(first)).attempts.made).toBe(1);

  await api.faults([{ kind: 'status', status: 503 }], { name });
  const before = (await api.ledger(name)).requests.length;
  const ids: string[] = [];
  for (let n = 0; n < 30; n += 1) ids.push(await post(606_100 + n));
  await until(async () => expect((await api.upstream(name)).breaker.state).toBe('open'));
  await until(async () => expect(await api.upstream(name)).toMatchObject({ queue: { active: 0 } }));
  const atTrip = (await api.ledger(name)).requests.length;
  expect(atTrip - before).toBeLessThanOrEqual(3 + 2 * 10);
  const { generation } = (await api.upstream(name)).breaker;
  await until(async () =>
    expect((await api.upstream(name)).breaker.generation).toBeGreaterThanOrEqual(generation + 6),
  );
  const trials = Math.ceil(((await api.upstream(name)).breaker.generation - generation) / 2);
  expect((await api.ledger(name)).requests.length - atTrip).toBeLessThanOrEqual(trials + 1);

  await api.faults([], { name });
  expect(await allEnded(api, ids)).toEqual({ succeeded: 30 });
  const calls = await api.calls(ids);
  // What was in flight at the trip is charged for that; a failed trial is charged to nobody.
  const spent = calls.reduce((sum, { attempts }) => sum + attempts.made, 0);
  expect(spent - 30).toBeLessThanOrEqual(atTrip - before);
  await until(async () => expect((await api.upstream(name)).breaker.state).toBe('closed'));
  expect((await api.ledger(name)).smsSent).toBe(1);
});
