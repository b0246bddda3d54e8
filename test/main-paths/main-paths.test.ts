/**
 * The main paths of the product, once each, through real processes: Redis, simulator, web, two workers and admin.
 * The tests share one stack and run in order: the last two kill a worker and Redis.
 */
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { CallbackReceiver, newCallbackSecrets } from '../support/callback-receiver.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const adminPassword = 'correct horse battery';
const secrets = newCallbackSecrets();

let running: TestStack;
let admin: AdminApi;
let receiver: CallbackReceiver;
beforeAll(async () => {
  receiver = await CallbackReceiver.start(secrets);
  running = await startTestStack({
    env: {
      ADMIN_PASSWORD: adminPassword,
      CALLBACK_HOSTS: '127.0.0.1',
      CALLBACK_SECRETS: secrets.join(','),
      READ_BACK_WAITS_MS: '100,400,1000',
      // Requests held at the gate must not time out on a slow machine.
      CROSSMARK_TIMEOUT_MS: '60000',
    },
  });
  admin = await AdminApi.logIn(running.stack.urls.admin, 'admin', adminPassword);
});
afterAll(async () => {
  await running?.[Symbol.asyncDispose]();
  await receiver?.stop();
});
beforeEach(() => running.api.faults([]));

let visits = 0;
/** Reserves `count` visits for one test, and returns the number of the first. */
function newVisits(count: number): number {
  const first = visits;
  visits += count;
  return first;
}
const newVisit = () => visitInput(newVisits(1));

const bookedFor = async ({ mPlanId = '' }: Record<string, string>) =>
  (await running.api.ledger()).visitsByItem[mPlanId] ?? 0;

/** Sends requests to `/v1` paths that {@link TestStack.api} does not have. */
async function ask(method: string, path: string, body?: unknown) {
  const response = await fetch(`${running.stack.urls.web}/v1${path}`, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** Posts a call and returns its id. */
async function accepted(operation: string, input: unknown, options: object = {}): Promise<string> {
  const { status, headers, body } = await running.api.post(operation, { input, options });
  expect(status, JSON.stringify(body)).toBe(202);
  expect(headers.get('location')).toBe(`/v1/calls/${body.id}`);
  return String(body.id);
}

/** Waits until a call ends. Fails unless it has this status. */
async function endsAs(status: string, id: string) {
  expect(await allEnded(running.api, [id])).toEqual({ [status]: 1 });
  return await running.api.call(id);
}

describe('a call', () => {
  test('is accepted with 202, can be waited for, and books one visit', async () => {
    const input = newVisit();
    const id = await accepted('crossmark/schedule-event', input);
    const call = await running.api.call(id, 30);
    expect(call).toMatchObject({
      status: 'succeeded',
      attempts: { made: 1, deferrals: 0, stalls: 0 },
      result: { ...input, scheduleEventId: expect.stringMatching(/^\d{8}$/) },
      error: null,
    });
    expect(await bookedFor(input)).toBe(1);
  });

  test('posted again with the same Idempotency-Key is the same call', async () => {
    const input = newVisit();
    const key = { 'idempotency-key': 'order-1' };
    const first = await running.api.post('crossmark/schedule-event', { input }, key);
    const again = await running.api.post('crossmark/schedule-event', { input }, key);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.body.id).toBe(first.body.id);
    const other = await running.api.post('crossmark/schedule-event', { input: newVisit() }, key);
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
    await endsAs('succeeded', String(first.body.id));
    expect(await bookedFor(input)).toBe(1);
  });

  test('with invalid input gets 422, which names the field, and is not stored', async () => {
    const before = (await ask('GET', '/calls?limit=1')).body.calls;
    const { status, body } = await running.api.post('crossmark/schedule-event', {
      input: { ...newVisit(), repId: 7 },
    });
    expect(status).toBe(422);
    expect(body.errors).toEqual([expect.objectContaining({ pointer: '/input/repId' })]);
    expect((await ask('GET', '/calls?limit=1')).body.calls).toEqual(before);
  });

  test('of each other Crossmark operation succeeds', async () => {
    const input = newVisit();
    const { mPlanId, locationId, repId, start, end } = input;
    const booked = await endsAs('succeeded', await accepted('crossmark/schedule-event', input));
    const scheduleEventId = booked.result?.scheduleEventId;
    const expirationDate = '2027-02-01';
    const comments = 'Please call Jo Muster first';
    const rep = expect.objectContaining({ repId: expect.any(String) });
    const calls: [string, object, object][] = [
      ['unschedule-event', { scheduleEventId, mPlanId, locationId }, { scheduleEventId }],
      ['reissue-event', { mPlanId, locationId, repId, expirationDate, comments }, { accepted: true }],
      [
        'list-planning',
        { startDate: '2027-01-01', endDate: expirationDate, mPlanId },
        { total: expect.any(Number), items: expect.any(Array) },
      ],
      ['list-available-reps', { start, end }, { reps: expect.arrayContaining([rep]) }],
      ['list-qualified-reps', { mPlanId, locationId }, { reps: expect.arrayContaining([rep]) }],
    ];
    for (const [operation, sent, result] of calls) {
      const id = await accepted(`crossmark/${operation}`, sent);
      expect((await endsAs('succeeded', id)).result, operation).toMatchObject(result);
    }
    // It was unscheduled.
    expect(await bookedFor(input)).toBe(0);
  });

  test('sends a signed callback to the application when it ends', async () => {
    const callback = { url: receiver.url('/ended') };
    const id = await accepted('crossmark/schedule-event', newVisit(), { callback });
    const [delivery] = await until(() => {
      expect(receiver.of(id)).toHaveLength(1);
      return receiver.of(id);
    });
    const { body } = await ask('GET', `/calls/${id}`);
    expect(delivery?.event).toMatchObject({ type: 'call.succeeded', timestamp: body.finishedAt });
    expect(delivery?.event.data).toMatchObject({ id, status: 'succeeded', result: body.result });
    expect(receiver.refused).toEqual([]);
  });
});

describe('a write', () => {
  const lostAnswer = { kind: 'reset', afterApply: true, times: 1 };

  test('whose answer is lost is read back, and not sent again', async () => {
    await running.api.faults([{ ...lostAnswer, operation: 'schedule-event' }]);
    const input = newVisit();
    const call = await endsAs('succeeded', await accepted('crossmark/schedule-event', input));
    expect(call.attempts.made).toBe(1);
    expect(call.history[0]).toMatchObject({ outcome: 'in_doubt', code: 'connection_lost' });
    expect(call.history.at(-1)).toMatchObject({ outcome: 'done', code: 'read_back_applied' });
    expect(await bookedFor(input)).toBe(1);
  });

  test.each([
    ['done', 1],
    ['resend', 2],
  ])('in doubt is settled by a person: %s', async (action, sent) => {
    await running.api.faults([{ ...lostAnswer, operation: 'reissue-event' }]);
    const { mPlanId = '', locationId, repId } = newVisit();
    const input = { mPlanId, locationId, repId, expirationDate: '2027-02-01' };
    const id = await accepted('crossmark/reissue-event', input);
    await endsAs('in_doubt', id);
    expect((await ask('POST', `/calls/${id}/retry`)).body.code).toBe('call_in_doubt');
    expect((await admin.get('/api/in-doubt')).body).toMatchObject({ total: 1, calls: [{ id }] });
    const settled = await admin.post(`/api/in-doubt/${id}`, { action, reason: 'looked it up' });
    expect(settled).toMatchObject({ status: 200, body: { id, action } });
    const call = await endsAs('succeeded', id);
    expect(call).toMatchObject({ result: { accepted: true }, attempts: { made: sent } });
    expect((await running.api.ledger()).pendingWorkByItem[mPlanId]).toBe(sent);
  });
});

describe('a call that did not succeed', () => {
  /** Posts a call that Crossmark refuses once. */
  async function failed(): Promise<string> {
    await running.api.faults([{ kind: 'not-ok', operation: 'schedule-event', times: 1 }]);
    const id = await accepted('crossmark/schedule-event', newVisit());
    expect((await endsAs('failed', id)).error?.code).toEqual(expect.any(String));
    return id;
  }

  test('is retried through the API', async () => {
    const id = await failed();
    expect((await ask('POST', `/calls/${id}/retry`)).status).toBe(202);
    await endsAs('succeeded', id);
  });

  test('is retried by an admin', async () => {
    const id = await failed();
    const path = '/api/upstreams/crossmark/retries';
    expect((await admin.post(`${path}/count`, {})).body.count).toBe(1);
    const run = await admin.post(path, { reason: 'Crossmark is mended', perMinute: 6_000 });
    expect(run.status, JSON.stringify(run.body)).toBe(202);
    await until(async () => expect((await running.api.call(id)).status).toBe('succeeded'));
  });

  test('can be cancelled while it waits, and queued again by a retry', async () => {
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const input = newVisit();
    const id = await accepted('crossmark/schedule-event', input, { runAt });
    expect((await running.api.call(id)).status).toBe('scheduled');
    const cancelled = await ask('DELETE', `/calls/${id}`);
    expect(cancelled).toMatchObject({ status: 200, body: { status: 'cancelled', attempts: { made: 0 } } });
    expect(await bookedFor(input)).toBe(0);
    expect((await ask('POST', `/calls/${id}/retry`)).status).toBe(202);
    await endsAs('succeeded', id);
    expect(await bookedFor(input)).toBe(1);
  });
});

test('a batch is accepted, made, and listed page by page', async () => {
  const items = Array.from({ length: 50 }, (_, n) => ({
    upstream: 'crossmark',
    operation: 'list-qualified-reps',
    input: { mPlanId: String(31_000_000 + n), locationId: '150001' },
  }));
  const batch = await ask('POST', '/calls:batch', { items });
  expect(batch.status).toBe(202);
  const ids = (batch.body.results as { call: { id: string } }[]).map(({ call }) => call.id);
  expect(new Set(ids).size).toBe(50);
  expect(await allEnded(running.api, ids)).toEqual({ succeeded: 50 });
  const listed: string[] = [];
  for (let cursor: unknown = ''; cursor !== null; ) {
    const query = `upstream=crossmark&status=succeeded&limit=20${cursor && `&cursor=${cursor}`}`;
    const { status, body } = await ask('GET', `/calls?${query}`);
    expect(status).toBe(200);
    listed.push(...(body.calls as { id: string }[]).map(({ id }) => id));
    cursor = body.nextCursor;
  }
  expect(listed).toEqual(expect.arrayContaining(ids));
  expect(new Set(listed).size).toBe(listed.length);
});

test('Walmart: calls wait for the sign-in, one expires meanwhile, and the other runs after a person enters the code', async () => {
  const { api } = running;
  const upstream = 'walmart-edr';
  const id = await accepted(`${upstream}/get-report`, { eventId: '606031' });
  await until(async () => {
    const { holds, queue } = await api.upstream(upstream);
    expect([holds.map(({ kind }) => kind), queue.active]).toEqual([['sign-in'], 0]);
  });
  // Repeated, because an `expiresAt` that has passed when the request is read is refused.
  const expiring = await until(() => {
    const expiresAt = new Date(Date.now() + 1_000).toISOString();
    return accepted(`${upstream}/get-report`, { eventId: '606032' }, { expiresAt });
  });
  expect((await endsAs('expired', expiring)).attempts.made).toBe(0);
  expect(await api.call(id)).toMatchObject({ status: 'deferred', attempts: { made: 0 } });
  const sent = await admin.post(`/api/sign-in/${upstream}/send-code`, {});
  expect(sent).toMatchObject({ status: 200, body: { kind: 'code-sent' } });
  const verified = await admin.post(`/api/sign-in/${upstream}/verify`, { code: '123456' });
  expect(verified).toMatchObject({ status: 200, body: { kind: 'signed-in' } });
  expect(await endsAs('succeeded', id)).toMatchObject({
    attempts: { made: 1 },
    result: { items: expect.any(Array) },
  });
  expect((await api.ledger(upstream)).smsSent).toBe(1);
});

test('an outage: the breaker opens, calls wait without using attempts, and all succeed afterwards, once each', async () => {
  const { api } = running;
  const before = (await api.ledger()).requests.length;
  await api.faults([{ kind: 'status', status: 503 }]);
  const first = newVisits(30);
  const ids = await postVisits(api, 30, first);
  await until(async () => expect((await api.upstream()).breaker.generation).toBeGreaterThan(0));
  const late: string[] = [];
  // While a probe runs, the breaker is half-open, so the first post may find no hold.
  const answer = await until(async () => {
    const posted = await api.post('crossmark/schedule-event', { input: newVisit() });
    late.push(String(posted.body.id));
    expect(posted).toMatchObject({
      status: 202,
      body: { status: 'deferred', holds: [expect.objectContaining({ kind: 'breaker' })] },
    });
    return posted;
  });
  expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  const seen = (await api.ledger()).requests.length - before;
  // Five failures, the calls in flight when the breaker opened, and one probe for every second transition.
  const { generation } = (await api.upstream()).breaker;
  expect(seen).toBeLessThanOrEqual(5 + 2 * 10 + Math.ceil(generation / 2));
  // A failed probe: half-open is generation 2, open again is generation 3.
  await until(async () => expect((await api.upstream()).breaker.generation).toBeGreaterThanOrEqual(3));
  for (const { attempts } of await api.calls(late)) expect(attempts.made).toBe(0);

  await api.faults([]);
  expect(await allEnded(api, [...ids, ...late])).toEqual({ succeeded: 30 + late.length });
  for (const { attempts } of await api.calls(late)) expect(attempts.made).toBe(1);
  await until(async () =>
    expect(await api.upstream()).toMatchObject({ breaker: { state: 'closed', permits: null }, holds: [] }),
  );
  const { visitsByItem } = await api.ledger();
  for (let n = first; n < visits; n += 1) expect(visitsByItem[visitInput(n).mPlanId ?? '']).toBe(1);
});

test('logs and Redis contain no readable secret or personal data', async () => {
  const { stack } = running;
  const redis = new Redis(stack.redisUrl);
  const stored: string[] = [];
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    if (type === 'hash') stored.push(key, ...Object.values(await redis.hgetall(key)));
    if (type === 'string') stored.push(key, (await redis.get(key)) ?? '');
    if (type === 'stream') stored.push(JSON.stringify(await redis.xrange(key, '-', '+')));
  }
  redis.disconnect();
  const everything = [...stored, ...stack.output()].join('\n');
  expect(everything).toContain('schedule-event');
  const hidden = ['Jo Muster', 'PHPSESSID', 'OfflineHash', adminPassword, ...secrets];
  for (const secret of hidden) expect(everything).not.toContain(secret);
  // The reps' names are only in the encrypted results.
  expect(stored.join('\n')).not.toMatch(/"(title|lastName|firstName|name)":"[A-Z][a-z]+ [A-Z]/);
});

test('a worker killed during a write: another worker finds it done and does not send it again', async () => {
  const { api, stack } = running;
  await api.faults([{ kind: 'hang', afterApply: true, operation: 'schedule-event', times: 1 }]);
  const input = newVisit();
  const id = await accepted('crossmark/schedule-event', input);
  await until(async () => expect(await bookedFor(input)).toBe(1));
  const redis = new Redis(stack.redisUrl);
  const holder = await redis.hget(`recloser:{crossmark}:crossmark:${id}`, 'pb');
  redis.disconnect();
  const victim = stack.workers.find(({ pid }) => holder?.includes(`-${pid}-`));
  if (!victim) throw new Error(`${holder} is no worker of this stack`);
  await stack.kill(victim);
  const call = await endsAs('succeeded', id);
  expect(call.attempts).toMatchObject({ made: 1, stalls: 1 });
  expect(call.history.at(-1)).toMatchObject({ outcome: 'done', code: 'read_back_applied' });
  expect(call.history.at(-1)?.worker).not.toBe(holder);
  expect(await bookedFor(input)).toBe(1);
});

test('Redis killed and restarted: every accepted call is made once', async () => {
  const { api, stack } = running;
  const act = (action: string) =>
    admin.post('/api/upstreams/crossmark/actions', { action, reason: 'the Redis of this test is killed' });
  expect((await act('hold')).status).toBe(200);
  const first = newVisits(20);
  const ids = await postVisits(api, 20, first);
  await stack.redis?.kill();
  const refused = await until(async () => {
    const answer = await api.post('crossmark/schedule-event', { input: newVisit() });
    expect(answer.status).toBe(503);
    return answer;
  });
  expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
  await stack.redis?.restart();
  await until(async () => expect((await act('release')).status).toBe(200));
  expect(await allEnded(api, ids)).toEqual({ succeeded: 20 });
  for (const { attempts } of await api.calls(ids)) expect(attempts.made).toBe(1);
  const { visitsByItem } = await api.ledger();
  for (let n = first; n < first + 20; n += 1) expect(visitsByItem[visitInput(n).mPlanId ?? '']).toBe(1);
});
