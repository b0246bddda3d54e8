/** Calls through a public validating proxy, which must accept every answer. */
import { startWeb, visit } from '@recloser/web/test-kit/web-under-test';
import { expect, inject, test } from 'vitest';
import { until } from '../support/stack.ts';
import { startValidatingProxy } from '../support/validating-proxy.ts';

const redisUrl = inject('redisUrl');
const attempt = {
  at: new Date().toISOString(),
  durationMs: 3,
  outcome: 'done',
  status: 200,
  code: null,
  message: null,
  worker: 'w',
};

test('Prism between client and API reports no mismatch', async () => {
  await using web = await startWeb({ redisUrl });
  await using proxy = await startValidatingProxy(web.url);
  const ask = async (method: string, path: string, body?: unknown, more: Record<string, string> = {}) => {
    const answer = await fetch(proxy.url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...more },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const path = '/v1/calls/crossmark/schedule-event';
  const result = { ...visit, scheduleEventId: '12345678' };
  /** Repeats a request while Redis does not answer in time, as the API documents it. */
  const hand = (at: string, body: unknown, key: string, more: Record<string, string> = {}) =>
    until(async () => {
      const answer = await ask('POST', at, body, { 'idempotency-key': key, ...more });
      expect(answer.status).not.toBe(503);
      return answer;
    });
  const submit = (key: string, more?: Record<string, string>) => hand(path, { input: visit }, key, more);

  const first = await submit('one');
  expect(first.status).toBe(202);
  const own = `/v1/calls/${first.body.id}`;
  expect((await submit('one')).status).toBe(202);
  expect((await ask('GET', own)).status).toBe(200);
  expect((await ask('GET', '/v1/calls?status=queued&limit=5')).status).toBe(200);
  expect((await ask('DELETE', own)).status).toBe(200);
  expect(await ask('DELETE', own)).toMatchObject({ status: 200, body: { status: 'cancelled' } });
  expect((await ask('POST', `${own}/retry`)).status).toBe(202);
  expect((await ask('GET', '/v1/upstreams')).status).toBe(200);
  expect((await ask('GET', '/v1/upstreams/crossmark')).status).toBe(200);
  expect((await ask('GET', '/health')).status).toBe(200);
  const items = [
    { upstream: 'crossmark', operation: 'schedule-event', input: visit },
    { upstream: 'walmart-edr', operation: 'get-report', input: { eventId: '123456' } },
  ];
  expect((await hand('/v1/calls:batch', { items }, 'batch')).status).toBe(202);

  web.work(async () => ({ result, attempt }));
  expect(await submit('two', { prefer: 'wait=30' })).toMatchObject({
    status: 200,
    body: { status: 'succeeded', result },
  });
  expect(await ask('GET', '/v1/calls?status=succeeded')).toMatchObject({
    status: 200,
    body: { calls: [expect.anything(), expect.anything(), expect.anything()] },
  });
  expect((await ask('GET', '/v1/calls/crossmark-nothing')).status).toBe(404);
  expect(proxy.violations).toEqual([]);

  // The proxy does validate: it reports an invalid request.
  expect((await ask('POST', path, { input: { ...visit, repId: 7 } })).status).toBe(422);
  expect(proxy.violations.join()).toMatch(/repId/);
});
