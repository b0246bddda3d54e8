import { StackApi, visitInput } from '@recloser/local-stack/stack-api';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let running: TestStack;
beforeAll(async () => {
  running = await startTestStack();
});
afterAll(() => running[Symbol.asyncDispose]());

async function finished(path: string, input: unknown) {
  const { status, headers, body } = await running.api.post(path, { input });
  expect(status, JSON.stringify(body)).toBe(202);
  expect(headers.get('location')).toBe(`/v1/calls/${body.id}`);
  return await running.api.call(String(body.id), 20);
}

describe('from 202 to done', () => {
  test('schedule-event books exactly one visit and returns its id', async () => {
    const input = visitInput(1);
    const call = await finished('crossmark/schedule-event', input);
    expect(call).toMatchObject({
      status: 'succeeded',
      attempts: { made: 1, deferrals: 0, stalls: 0 },
      error: null,
    });
    expect(call.result).toEqual({ ...input, scheduleEventId: expect.stringMatching(/^\d{8}$/) });
    const ledger = await running.api.ledger();
    const writes = ledger.requests.filter(({ operation }) => operation === 'schedule-event');
    expect(writes).toHaveLength(1);
    expect(ledger.visitsMade).toBe(1);
  });

  test('every other Crossmark operation', async () => {
    const input = visitInput(2);
    const booked = await finished('crossmark/schedule-event', input);
    const { mPlanId, locationId, repId, start, end } = input;
    const scheduleEventId = booked.result?.scheduleEventId;
    const removed = await finished('crossmark/unschedule-event', { scheduleEventId, mPlanId, locationId });
    expect(removed).toMatchObject({ status: 'succeeded', result: { scheduleEventId } });
    const reissued = await finished('crossmark/reissue-event', {
      mPlanId,
      locationId,
      repId,
      expirationDate: '2027-02-01',
      comments: 'Please call Jo Muster first',
    });
    expect(reissued).toMatchObject({ status: 'succeeded', result: { accepted: true } });
    const planning = await finished('crossmark/list-planning', {
      startDate: '2027-01-01',
      endDate: '2027-02-01',
      mPlanId,
    });
    expect(planning).toMatchObject({
      status: 'succeeded',
      result: { total: expect.any(Number), items: expect.any(Array) },
    });
    const available = await finished('crossmark/list-available-reps', { start, end });
    expect(available).toMatchObject({
      status: 'succeeded',
      result: { reps: expect.arrayContaining([expect.objectContaining({ repId: expect.any(String) })]) },
    });
    const qualified = await finished('crossmark/list-qualified-reps', { mPlanId, locationId });
    expect(qualified).toMatchObject({
      status: 'succeeded',
      result: { reps: expect.arrayContaining([expect.objectContaining({ repId: expect.any(String) })]) },
    });
  });

  test('no secret and nothing personal is in a log or readable in Redis', async () => {
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
    for (const secret of ['Jo Muster', 'PHPSESSID', 'OfflineHash']) expect(everything).not.toContain(secret);
    // The roster's names are only in the sealed results.
    expect(stored.join('\n')).not.toMatch(/"(title|lastName|firstName|name)":"[A-Z][a-z]+ [A-Z]/);
  });
});

describe('refusals store nothing', () => {
  const good = { input: visitInput(3) };
  const cases: [string, string, unknown, Record<string, string>, number][] = [
    ['an unknown upstream', 'nobody/schedule-event', good, {}, 404],
    ['an unknown operation', 'crossmark/fly', good, {}, 404],
    ['no JSON', 'crossmark/schedule-event', '{"input":', {}, 400],
    ['not an object', 'crossmark/schedule-event', '[1]', {}, 400],
    ['another media type', 'crossmark/schedule-event', good, { 'content-type': 'text/plain' }, 415],
    [
      'a body that is too large',
      'crossmark/schedule-event',
      { input: { repId: 'x'.repeat(300_000) } },
      {},
      413,
    ],
    ['a missing field', 'crossmark/schedule-event', { input: { ...good.input, repId: undefined } }, {}, 422],
    ['an unknown field', 'crossmark/schedule-event', { input: { ...good.input, more: 1 } }, {}, 422],
    [
      'a time without offset',
      'crossmark/schedule-event',
      { input: { ...good.input, start: '2027-01-04T09:00:00' } },
      {},
      422,
    ],
    [
      'a number where a string belongs',
      'crossmark/schedule-event',
      { input: { ...good.input, repId: 152879 } },
      {},
      422,
    ],
    ['an unknown option', 'crossmark/schedule-event', { ...good, options: { fast: true } }, {}, 422],
    ['a bad idempotency key', 'crossmark/schedule-event', good, { 'idempotency-key': 'a b' }, 400],
  ];
  test.each(cases)('%s', async (_name, path, body, headers, status) => {
    const before = await running.api.upstream();
    // Straight to web: a validating proxy does not pass on what is no JSON.
    const answer = await new StackApi(running.stack.urls).post(path, body, headers);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.body).toMatchObject({
      status,
      type: expect.stringMatching(/^https:/),
      code: expect.stringMatching(/^[a-z_]+$/),
    });
    if (status === 422)
      expect(answer.body.errors).toEqual([
        expect.objectContaining({ pointer: expect.stringMatching(/^\//) }),
      ]);
    expect((await running.api.upstream()).queue).toEqual(before.queue);
  });
});
