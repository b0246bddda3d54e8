/** The API of a whole running system, as an application sees it. */
import { visitInput } from '@recloser/local-stack/stack-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RecordingProxy, startRecordingProxy } from '../support/recording-proxy.ts';
import { startTestStack, type TestStack, until } from '../support/stack.ts';

let running: TestStack;
let upstream: RecordingProxy;
let v1: string;

beforeAll(async () => {
  upstream = await startRecordingProxy();
  running = await startTestStack({
    env: {
      CROSSMARK_BASE_URL: `${upstream.url}/crossmark`,
      CROSSMARK_BREAKER_RESET_MS: '6000',
      STALE_TTL_SECONDS: '600',
    },
  });
  upstream.target = running.stack.urls.simulator;
  v1 = `${running.stack.urls.web}/v1`;
});
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

type Call = Record<string, unknown> & { id: string; status: string };

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(v1 + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Call };
}

const reps = { mPlanId: '30000001', locationId: '150001' };

describe('a call', () => {
  test('50 posts at once with one key: one call, 49 replays, one request upstream', async () => {
    const before = (await running.api.ledger()).visitsMade;
    const body = { input: visitInput(500) };
    const headers = { 'idempotency-key': 'fifty' };
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => ask('POST', '/calls/crossmark/schedule-event', body, headers)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    const [id, ...others] = new Set(answers.map((answer) => answer.body.id));
    expect(others).toEqual([]);
    expect(answers.filter((answer) => answer.headers.get('idempotency-replayed') === 'true')).toHaveLength(
      49,
    );
    const other = await ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(501) }, headers);
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
    expect((await running.api.call(id ?? '', 20)).status).toBe('succeeded');
    expect((await running.api.ledger()).visitsMade).toBe(before + 1);
  });

  test('carries request id and trace context to the upstream', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const headers = { traceparent, tracestate: 'app=1', 'x-request-id': 'from-the-app-1' };
    const { body } = await ask(
      'POST',
      '/calls/crossmark/schedule-event',
      { input: visitInput(510) },
      headers,
    );
    expect((await running.api.call(body.id, 20)).status).toBe('succeeded');
    const sent = upstream.seen.filter((request) => request.headers['x-request-id'] === 'from-the-app-1');
    expect(sent.length).toBeGreaterThanOrEqual(1);
    for (const request of sent) expect(request.headers).toMatchObject({ traceparent, tracestate: 'app=1' });
  });

  test('tells its life as events', async () => {
    const runAt = new Date(Date.now() + 1_000).toISOString();
    const options = { runAt };
    const { body } = await ask('POST', '/calls/crossmark/schedule-event', {
      input: visitInput(520),
      options,
    });
    const response = await fetch(`${v1}/calls/${body.id}/events`);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const text = await response.text();
    const events = [...text.matchAll(/event: (\w+)\nid: (.+)\ndata: (.+)\n/g)];
    const statuses = events.flatMap(([, name, , data]) =>
      name === 'status' ? [JSON.parse(data ?? '').status] : [],
    );
    expect(statuses[0]).toBe('scheduled');
    expect(statuses.at(-1)).toBe('succeeded');
    expect(events.filter(([, name]) => name === 'attempt')).toHaveLength(1);
    const last = events.at(-1)?.[2] ?? '';
    const again = await fetch(`${v1}/calls/${body.id}/events`, { headers: { 'last-event-id': last } });
    expect(again.status).toBe(204);
    const half = await fetch(`${v1}/calls/${body.id}/events`, {
      headers: { 'last-event-id': events[0]?.[2] ?? '' },
    });
    expect(await half.text()).toMatch(/event: attempt[\s\S]*event: status/);
  });

  test('a batch of 1,000 is kept and made', async () => {
    const items = Array.from({ length: 1_000 }, (_, n) => ({
      upstream: 'crossmark',
      operation: 'list-qualified-reps',
      input: { mPlanId: String(30_000_000 + n), locationId: '150001' },
    }));
    const { status, body } = await ask('POST', '/calls:batch', { items });
    expect(status).toBe(202);
    const results = body.results as { index: number; status: number; call: { id: string } }[];
    expect(results.map(({ index }) => index)).toEqual(items.map((_, index) => index));
    expect(new Set(results.map(({ call }) => call.id)).size).toBe(1_000);
    await until(async () => {
      const page = await ask('GET', '/calls?upstream=crossmark&status=queued&limit=1');
      expect(page.body.calls).toEqual([]);
    });
    expect((await running.api.call(results[999]?.call.id ?? '', 20)).status).toBe('succeeded');
  });
});

describe('while the breaker is open', () => {
  let good: Record<string, unknown>;

  beforeAll(async () => {
    const { body } = await ask('POST', '/calls/crossmark/list-qualified-reps', { input: reps });
    const call = await running.api.call(body.id, 20);
    expect(call.status).toBe('succeeded');
    good = call.result ?? {};
    await running.api.faults([{ kind: 'status', status: 503 }]);
    const failing = Array.from({ length: 6 }, (_, n) =>
      ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(530 + n) }),
    );
    await Promise.all(failing);
    await until(async () => expect((await running.api.upstream()).breaker.state).toBe('open'));
  });
  afterAll(() => running.api.faults([]));

  test('defer: 202 with the holds and an estimate that Retry-After agrees with', async () => {
    const { status, headers, body } = await ask('POST', '/calls/crossmark/list-qualified-reps', {
      input: reps,
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
    const saidMs = Date.now() + Number(headers.get('retry-after')) * 1000;
    expect(Math.abs(saidMs - (from ?? 0))).toBeLessThan(2_000);
  });

  test('reject: 503 with the documented body, nothing stored', async () => {
    const before = (await running.api.upstream()).queue;
    const options = { ifOpen: 'reject' };
    const answer = await ask('POST', '/calls/crossmark/list-qualified-reps', { input: reps, options });
    expect(answer).toMatchObject({
      status: 503,
      body: { code: 'breaker_open', error: 'External service temporarily unavailable' },
    });
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    const { waiting, delayed } = (await running.api.upstream()).queue;
    expect({ waiting, delayed }).toEqual({ waiting: before.waiting, delayed: before.delayed });
  });

  test('stale: 200 with the last good result and its age; without one, deferred; for a write, refused', async () => {
    const options = { ifOpen: 'stale' };
    const answer = await ask('POST', '/calls/crossmark/list-qualified-reps', { input: reps, options });
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
    expect(
      await ask('POST', '/calls/crossmark/list-qualified-reps', { input: unknown, options }),
    ).toMatchObject({ status: 202, body: { status: 'deferred' } });
    expect(
      await ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(540), options }),
    ).toMatchObject({ status: 422, body: { errors: [{ pointer: '/options/ifOpen' }] } });
  });

  test('calls past their expiresAt are settled in bulk without an attempt, and one can be retried', async () => {
    const expiresAt = new Date(Date.now() + 1_500).toISOString();
    const items = Array.from({ length: 100 }, (_, n) => ({
      upstream: 'crossmark',
      operation: 'list-qualified-reps',
      input: { mPlanId: String(30_100_000 + n), locationId: '150001' },
      options: { expiresAt },
    }));
    const { body } = await ask('POST', '/calls:batch', { items });
    const ids = (body.results as { call: { id: string } }[]).map(({ call }) => call.id);
    await until(async () => {
      const calls = await running.api.calls(ids);
      expect(new Set(calls.map(({ status }) => status))).toEqual(new Set(['expired']));
      expect(calls.filter(({ attempts }) => attempts.made > 0)).toEqual([]);
    }, 15_000);
    const retried = await ask('POST', `/calls/${ids[0]}/retry`);
    expect(retried.status).toBe(202);
    expect(retried.body.options).not.toHaveProperty('expiresAt');
    expect((await ask('DELETE', `/calls/${ids[0]}`)).body.status).toBe('cancelled');
  });

  test('a cancelled call is kept as a record, never made, and can be put back', async () => {
    const { body } = await ask('POST', '/calls/crossmark/schedule-event', { input: visitInput(550) });
    const cancelled = await ask('DELETE', `/calls/${body.id}`);
    expect(cancelled).toMatchObject({
      status: 200,
      body: { status: 'cancelled', error: { code: 'cancelled' }, attempts: { made: 0 } },
    });
    expect(await ask('DELETE', `/calls/${body.id}`)).toMatchObject({
      status: 409,
      body: { code: 'call_finished' },
    });
    expect((await ask('GET', '/calls?status=cancelled&limit=1')).body.calls).toMatchObject([{ id: body.id }]);
    const again = await ask('POST', `/calls/${body.id}/retry`);
    expect(again).toMatchObject({ status: 202, body: { status: 'deferred' } });
    expect(await ask('POST', `/calls/${body.id}/retry`)).toMatchObject({
      status: 409,
      body: { code: 'call_not_finished' },
    });
    await running.api.faults([]);
    await until(async () => expect((await running.api.call(body.id)).status).toBe('succeeded'));
    expect(await ask('POST', `/calls/${body.id}/retry`)).toMatchObject({
      status: 409,
      body: { code: 'call_succeeded' },
    });
  });
});
