/** The API as an application sees it, with workers and an upstream. */
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { startWeb } from '@recloser/web/test-kit/web-under-test';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type RecordingProxy, startRecordingProxy } from '../support/programs/recording-proxy.ts';
import { allEnded, until } from '../support/stack.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const redisUrl = inject('redisUrl');
let system: TestSystem;
let upstream: RecordingProxy;

beforeAll(async () => {
  upstream = await startRecordingProxy();
  const env = {
    CROSSMARK_BASE_URL: `${upstream.url}/crossmark`,
    // The breaker stays open during the tests.
    CROSSMARK_BREAKER_RESET_MS: '600000',
  };
  system = await startSystem({ redisUrl, env });
  upstream.target = system.simulator.url;
});
afterAll(async () => {
  await system[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

type Call = Record<string, unknown> & { id: string; status: string };

async function askAt(
  web: { readonly url: string },
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const response = await fetch(`${web.url}/v1${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Call };
}

const ask = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
  askAt(system.web, method, path, body, headers);

const reps = { mPlanId: '30000001', locationId: '150001' };
const qualifiedReps = '/calls/crossmark/list-qualified-reps';

describe('a call', () => {
  test('carries request id and trace context to the upstream', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const headers = { traceparent, tracestate: 'app=1', 'x-request-id': 'from-the-app-1' };
    const { body } = await ask(
      'POST',
      '/calls/crossmark/schedule-event',
      { input: visitInput(510) },
      headers,
    );
    expect((await system.api.call(body.id, 30)).status).toBe('succeeded');
    const sent = upstream.seen.filter((request) => request.headers['x-request-id'] === 'from-the-app-1');
    expect(sent.length).toBeGreaterThanOrEqual(1);
    for (const request of sent) expect(request.headers).toMatchObject({ traceparent, tracestate: 'app=1' });
  });

  test('sends an event for each change of status', async () => {
    const holds = system.web.holds();
    const somebody = { owner: 'somebody', reason: 'until the events are read' };
    await holds.set({ kind: 'operator', ...somebody, forMs: null });
    const { body } = await ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(520) });
    const address = `${system.web.url}/v1/calls/${body.id}/events`;
    const response = await fetch(address);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    let text = '';
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      if (text.includes('"deferred"')) await holds.release('operator', somebody);
    }
    const events = [...text.matchAll(/event: (\w+)\nid: (.+)\ndata: (.+)\n/g)];
    const statuses = events.flatMap(([, name, , data]) =>
      name === 'status' ? [JSON.parse(data ?? '').status] : [],
    );
    expect(statuses[0]).toBe('deferred');
    expect(statuses.at(-1)).toBe('succeeded');
    expect(events.filter(([, name]) => name === 'attempt')).toHaveLength(1);
    const last = events.at(-1)?.[2] ?? '';
    expect((await fetch(address, { headers: { 'last-event-id': last } })).status).toBe(204);
    const half = await fetch(address, { headers: { 'last-event-id': events[0]?.[2] ?? '' } });
    expect(await half.text()).toMatch(/event: attempt[\s\S]*event: status/);
  });
});

test('a batch of 1,000 calls is stored, in order', async () => {
  // Starts no worker.
  await using web = await startWeb({ redisUrl });
  const items = Array.from({ length: 1_000 }, (_, n) => ({
    upstream: 'crossmark',
    operation: 'list-qualified-reps',
    input: { mPlanId: String(30_000_000 + n), locationId: '150001' },
  }));
  const { status, body } = await askAt(web, 'POST', '/calls:batch', { items });
  expect(status).toBe(202);
  const results = body.results as { index: number; status: number; call: { id: string } }[];
  expect(results.map(({ index }) => index)).toEqual(items.map((_, index) => index));
  expect(new Set(results.map(({ call }) => call.id)).size).toBe(1_000);
  expect(await web.upstream().queue.getJobCountByTypes()).toBe(1_000);
  for (const n of [0, 499, 999]) {
    expect((await askAt(web, 'GET', `/calls/${results[n]?.call.id}`)).body.input).toEqual(items[n]?.input);
  }
});

describe('while the breaker is open', () => {
  let good: Record<string, unknown>;

  beforeAll(async () => {
    const { body } = await ask('POST', qualifiedReps, { input: reps });
    const call = await system.api.call(body.id, 30);
    expect(call.status).toBe('succeeded');
    good = call.result ?? {};
    // Estimates are based on the rate of these calls.
    const items = Array.from({ length: 6 }, (_, n) => ({
      upstream: 'crossmark',
      operation: 'list-qualified-reps',
      input: { mPlanId: String(30_000_100 + n), locationId: '150001' },
    }));
    const batch = await ask('POST', '/calls:batch', { items });
    const ids = (batch.body.results as { call: { id: string } }[]).map((result) => result.call.id);
    expect(await allEnded(system.api, ids)).toEqual({ succeeded: 6 });
    system.simulator.faults('crossmark', [{ kind: 'status', status: 503 }]);
    const failing = Array.from({ length: 6 }, (_, n) =>
      ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(530 + n) }),
    );
    await Promise.all(failing);
    await until(async () =>
      expect(await system.api.upstream()).toMatchObject({ breaker: { state: 'open' }, queue: { active: 0 } }),
    );
  });

  test('defer: 202 with the holds and an estimate that Retry-After agrees with', async () => {
    // The rate is measured every two seconds.
    const { status, headers, body } = await until(async () => {
      const posted = await ask('POST', qualifiedReps, { input: reps });
      expect((posted.body.estimate as { finishBetween: unknown }).finishBetween).not.toBeNull();
      return posted;
    });
    expect(status).toBe(202);
    expect(body).toMatchObject({
      status: 'deferred',
      holds: [expect.objectContaining({ kind: 'breaker' })],
      estimate: {
        reason: expect.stringMatching(/^Held \(breaker\) since .* until /),
        nextProbeAt: expect.any(String),
        position: expect.any(Number),
        finishBetween: [expect.any(String), expect.any(String)],
      },
    });
    const { nextProbeAt, finishBetween } = body.estimate as { nextProbeAt: string; finishBetween: string[] };
    const [from, to] = finishBetween.map((time) => Date.parse(time));
    expect(from).toBeGreaterThanOrEqual(Date.parse(nextProbeAt));
    expect(to).toBeGreaterThan(from ?? 0);
    // Both are in seconds from the time of the answer, rounded.
    const saidMs = Date.parse(headers.get('date') ?? '') + Number(headers.get('retry-after')) * 1000;
    expect(Math.abs(saidMs - (from ?? 0))).toBeLessThan(3_000);
  });

  test('reject: 503 with the documented body, nothing stored', async () => {
    const stored = () => system.web.upstream().queue.getJobCountByTypes();
    const before = await stored();
    const options = { ifOpen: 'reject' };
    const answer = await ask('POST', qualifiedReps, { input: reps, options });
    expect(answer).toMatchObject({
      status: 503,
      body: { code: 'breaker_open', error: 'External service temporarily unavailable' },
    });
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await stored()).toBe(before);
  });

  test('stale: 200 with the last good result and its age; without one the call is deferred; a write is refused', async () => {
    const options = { ifOpen: 'stale' };
    const answer = await ask('POST', qualifiedReps, { input: reps, options });
    expect(answer).toMatchObject({
      status: 200,
      body: {
        stale: true,
        upstream: 'crossmark',
        operation: 'list-qualified-reps',
        input: reps,
        result: good,
      },
    });
    expect(answer.headers.get('age')).toBe(String(answer.body.age));
    const unknown = { ...reps, locationId: '199999' };
    expect(await ask('POST', qualifiedReps, { input: unknown, options })).toMatchObject({
      status: 202,
      body: { status: 'deferred' },
    });
    expect(
      await ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(540), options }),
    ).toMatchObject({ status: 422, body: { errors: [{ pointer: '/options/ifOpen' }] } });
  });

  test('calls past their expiresAt expire without an attempt, and can be retried', async () => {
    // Repeated, because an `expiresAt` that has passed when the request is read is refused.
    const { body } = await until(async () => {
      const expiresAt = new Date(Date.now() + 1_000).toISOString();
      const items = Array.from({ length: 30 }, (_, n) => ({
        upstream: 'crossmark',
        operation: 'list-qualified-reps',
        input: { mPlanId: String(30_100_000 + n), locationId: '150001' },
        options: { expiresAt },
      }));
      const posted = await ask('POST', '/calls:batch', { items });
      expect(posted.status, JSON.stringify(posted.body)).toBe(202);
      return posted;
    });
    const ids = (body.results as { call: { id: string } }[]).map(({ call }) => call.id);
    await until(async () => {
      const calls = await system.api.calls(ids);
      expect(new Set(calls.map(({ status }) => status))).toEqual(new Set(['expired']));
      expect(calls.filter(({ attempts }) => attempts.made > 0)).toEqual([]);
    });
    const retried = await ask('POST', `/calls/${ids[0]}/retry`);
    expect(retried.status).toBe(202);
    expect(retried.body.options).not.toHaveProperty('expiresAt');
    expect((await ask('DELETE', `/calls/${ids[0]}`)).body.status).toBe('cancelled');
  });

  test('a cancelled call is kept, never made, and can be retried', async () => {
    const { body } = await ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(550) });
    const cancelled = await ask('DELETE', `/calls/${body.id}`);
    expect(cancelled).toMatchObject({
      status: 200,
      body: { status: 'cancelled', error: { code: 'cancelled' }, attempts: { made: 0 } },
    });
    const repeated = await ask('DELETE', `/calls/${body.id}`);
    expect({ status: repeated.status, body: repeated.body }).toEqual({ status: 200, body: cancelled.body });
    expect((await ask('GET', '/calls?status=cancelled&limit=1')).body.calls).toMatchObject([{ id: body.id }]);
    const again = await ask('POST', `/calls/${body.id}/retry`);
    expect(again).toMatchObject({ status: 202, body: { status: 'deferred' } });
    expect(await ask('POST', `/calls/${body.id}/retry`)).toMatchObject({
      status: 409,
      body: { code: 'call_not_finished' },
    });
  });
});
