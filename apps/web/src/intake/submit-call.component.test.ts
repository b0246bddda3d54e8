import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');
const path = '/v1/calls/crossmark/schedule-event';

async function refusal(response: Response) {
  expect(response.headers.get('Content-Type')).toBe('application/problem+json');
  const body = await problemOf(response);
  expect(body).toMatchObject({
    status: response.status,
    title: expect.any(String),
    detail: expect.any(String),
  });
  expect(body.type).toBe(`https://recloser.dev/problems/${body.code.replaceAll('_', '-')}`);
  return { status: response.status, code: body.code, body };
}

describe('an accepted call', () => {
  it('is answered with 202, Location and the call, and is in Redis', async () => {
    await using web = await startWeb({ redisUrl });
    const response = await web.post(
      path,
      { input: visit, options: { metadata: { shop: 7 } } },
      { 'X-Request-Id': 'abc-1' },
    );
    const call = await callOf(response);
    expect(response.status).toBe(202);
    expect(response.headers.get('Location')).toBe(`/v1/calls/${call.id}`);
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    expect(response.headers.get('X-Request-Id')).toBe('abc-1');
    expect(response.headers.get('X-Powered-By')).toBeNull();
    expect(response.headers.get('Retry-After')).toBeNull();
    expect(call).toMatchObject({
      upstream: 'crossmark',
      operation: 'schedule-event',
      status: 'queued',
      input: visit,
      holds: [],
      position: 1,
      options: { ifOpen: 'defer', priority: 50, maxAttempts: 8, metadata: { shop: 7 } },
      links: { self: `/v1/calls/${call.id}`, upstream: '/v1/upstreams/crossmark' },
    });
    const job = await web.upstream().queue.getJob(call.id);
    expect(job?.data).toMatchObject({ v: 1, operation: 'schedule-event', input: visit, requestId: 'abc-1' });
  });

  it('shows the holds and a Retry-After', async () => {
    await using web = await startWeb({ redisUrl });
    await web.holds().set({ kind: 'rate-limit', owner: 'w1', reason: 'told to wait', forMs: 3_600_000 });
    const response = await web.post(path, { input: visit });
    const call = await callOf(response);
    expect(response.status).toBe(202);
    const seconds = Number(response.headers.get('Retry-After'));
    expect(seconds).toBeGreaterThan(3_000);
    expect(seconds).toBeLessThanOrEqual(3_601);
    expect(call).toMatchObject({
      status: 'deferred',
      holds: [{ kind: 'rate-limit', owner: 'w1', reason: 'told to wait' }],
    });
    expect(Date.parse(call.holds[0]?.until ?? '')).toBeGreaterThan(Date.now());
    expect(call.nextAttemptAt).toBe(call.holds[0]?.until);
  });

  it('is scheduled for runAt', async () => {
    await using web = await startWeb({ redisUrl });
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const call = await callOf(web.post(path, { input: visit, options: { runAt } }));
    expect(call).toMatchObject({ status: 'scheduled', position: null });
    expect(Math.abs(Date.parse(call.nextAttemptAt ?? '') - Date.parse(runAt))).toBeLessThan(1000);
  });

  it('shows personal input neither in Redis nor in the response', async () => {
    await using web = await startWeb({ redisUrl });
    const input = {
      mPlanId: '1',
      locationId: '2',
      repId: '3',
      expirationDate: '2026-02-01',
      comments: 'ask Bob',
    };
    const call = await callOf(web.post('/v1/calls/crossmark/reissue-event', { input }));
    expect(call.input).toEqual({ ...input, comments: '[sealed]' });
    const { data } = (await web.upstream().queue.getJob(call.id)) ?? {};
    expect(JSON.stringify(data)).not.toContain('Bob');
    expect(JSON.parse(web.sealer.open(data.input.comments.sealed))).toBe('ask Bob');
    expect(web.lines.join('')).not.toContain('Bob');
  });
});

describe('a refused request', () => {
  // Nothing is stored, so they can share one app.
  let web: Awaited<ReturnType<typeof startWeb>>;
  beforeAll(async () => {
    web = await startWeb({ redisUrl });
  });
  afterAll(() => web?.[Symbol.asyncDispose]());

  it.each([
    ['unknown_upstream', 404, '/v1/calls/nope/schedule-event', { input: visit }],
    ['unknown_operation', 404, '/v1/calls/crossmark/nope', { input: visit }],
    ['unknown_operation', 404, '/v1/calls/crossmark/constructor', { input: visit }],
    ['malformed_json', 400, path, '{"input": '],
    ['invalid_body', 400, path, '[]'],
    ['invalid_body', 400, path, '7'],
    ['malformed_json', 400, path, ''],
    ['payload_too_large', 413, path, { input: { ...visit, repId: '1'.repeat(110_000) } }],
    ['not_found', 404, '/v1/calls/crossmark', { input: visit }],
    ['invalid_request', 400, '/v1/calls/%E0%A4%A/x', { input: visit }],
  ])('gets %s (%i)', async (code, status, address, body) => {
    expect(await refusal(await web.post(address, body))).toMatchObject({ code, status });
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(0);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/json-seq'])(
    'of type %s gets 415',
    async (type) => {
      const response = await web.post(path, { input: visit }, { 'Content-Type': type });
      expect(await refusal(response)).toMatchObject({ code: 'unsupported_media_type', status: 415 });
    },
  );

  it.each([
    [{}, ['/input']],
    [{ input: { ...visit, repId: 'x', extra: 1 }, more: true }, ['/input/repId', '/input/extra', '/more']],
    [{ input: { ...visit, end: visit.start } }, ['/input/end']],
    [
      { input: visit, options: { priority: 0, maxAttempts: 1.5 } },
      ['/options/priority', '/options/maxAttempts'],
    ],
    [{ input: visit, options: { ifOpen: 'stale' } }, ['/options/ifOpen']],
    [{ input: visit, options: { callback: { url: 'https://x.example' } } }, ['/options/callback/url']],
    [
      { input: visit, options: { runAt: 'tomorrow', expiresAt: '2020-01-01T00:00:00' } },
      ['/options/runAt', '/options/expiresAt'],
    ],
    [{ input: visit, options: { expiresAt: '2020-01-01T00:00:00Z' } }, ['/options/expiresAt']],
    [{ input: visit, options: { runAt: '2200-01-01T00:00:00Z' } }, ['/options/runAt']],
    [{ input: visit, options: { metadata: { 'a/b': 1 } } }, ['/options/metadata/a~1b']],
    [{ input: visit, options: { metadata: { deep: { er: 1 } } } }, ['/options/metadata/deep']],
    [{ input: visit, options: { metadata: { long: 'x'.repeat(5000) } } }, ['/options/metadata']],
    [{ input: visit, options: null }, ['/options']],
    ['{"input": {}, "__proto__": {}}', ['/__proto__']],
  ])('with bad fields gets one entry for each: %j', async (body, pointers) => {
    const { code, status, body: answer } = await refusal(await web.post(path, body));
    expect({ code, status }).toEqual({ code: 'validation_failed', status: 422 });
    const found = answer.errors.map((error) => error.pointer);
    expect(found).toEqual(expect.arrayContaining(pointers));
    expect(new Set(found).size).toBe(found.length);
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(0);
  });

  it.each(['', 'with space', 'ü', 'x'.repeat(256)])('with the idempotency key %j gets 400', async (key) => {
    const response = await web.post(path, { input: visit }, { 'Idempotency-Key': key });
    expect(await refusal(response)).toMatchObject({ code: 'invalid_idempotency_key', status: 400 });
  });

  it('gets backlog_full when too many calls are waiting', async () => {
    await using web = await startWeb({ redisUrl, maxBacklog: 2 });
    await web.post(path, { input: visit });
    await web.post(path, { input: visit });
    await expect.poll(async () => (await web.post(path, { input: visit })).status).toBe(429);
    const response = await web.post(path, { input: visit });
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThan(0);
    expect(await refusal(response)).toMatchObject({ code: 'backlog_full' });
  });
});

describe('API keys', () => {
  const apiKeys = [
    { name: 'one', digest: createHash('sha256').update('secret-1').digest() },
    { name: 'two', digest: createHash('sha256').update('secret-2').digest() },
  ];

  it('are required for everything but health and metrics', async () => {
    await using web = await startWeb({ redisUrl, apiKeys });
    for (const authorization of [undefined, 'Bearer wrong', 'Basic c2VjcmV0LTE=', 'secret-1']) {
      const headers: Record<string, string> =
        authorization === undefined ? {} : { Authorization: authorization };
      const response = await web.post(path, '{', headers);
      expect(response.headers.get('WWW-Authenticate')).toContain('Bearer');
      expect(await refusal(response)).toMatchObject({ code: 'unauthorized', status: 401 });
      expect((await web.get('/v1/upstreams', headers)).status).toBe(401);
    }
    expect((await web.get('/v1/upstreams', { Authorization: 'Bearer secret-2' })).status).toBe(200);
    expect((await web.get('/health/live')).status).toBe(200);
    expect(await (await web.get('/metrics')).text()).toContain('recloser_http_request_duration_seconds');
    expect(web.lines.join('')).not.toContain('secret-');
  });

  it('keep the idempotency keys of two clients apart', async () => {
    await using web = await startWeb({ redisUrl, apiKeys });
    const send = (secret: string) =>
      web.post(path, { input: visit }, { Authorization: `Bearer ${secret}`, 'Idempotency-Key': 'k' });
    const [one, two] = [await callOf(send('secret-1')), await callOf(send('secret-2'))];
    expect(one.id).not.toBe(two.id);
    expect((await web.upstream().queue.getJob(one.id))?.data.submittedBy).toBe('one');
  });
});

describe('an idempotency key', () => {
  it('makes one call of 50 concurrent requests', async () => {
    await using web = await startWeb({ redisUrl });
    const responses = await Promise.all(
      Array.from({ length: 50 }, () => web.post(path, { input: visit }, { 'Idempotency-Key': 'k' })),
    );
    const calls = await Promise.all(responses.map(callOf));
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 202));
    expect(new Set(calls.map((call) => call.id)).size).toBe(1);
    expect(
      responses.filter((response) => response.headers.get('Idempotency-Replayed') !== 'true'),
    ).toHaveLength(1);
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(1);
  });

  it('accepts the fields in another order, but not another request', async () => {
    await using web = await startWeb({ redisUrl });
    const headers = { 'Idempotency-Key': 'k' };
    const first = await callOf(web.post(path, { input: visit, options: { priority: 5 } }, headers));
    const reordered = Object.fromEntries(Object.entries(visit).reverse());
    const repeat = await web.post(path, { options: { priority: 5 }, input: reordered }, headers);
    expect(repeat.headers.get('Idempotency-Replayed')).toBe('true');
    expect((await callOf(repeat)).id).toBe(first.id);
    const other = await web.post(path, { input: { ...visit, repId: '9' } }, headers);
    expect(await refusal(other)).toMatchObject({ code: 'idempotency_key_reused', status: 422 });
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(1);
  });

  it('finds a finished call, and never repeats a trimmed call', async () => {
    await using web = await startWeb({ redisUrl });
    const headers = { 'Idempotency-Key': 'k' };
    const { id } = await callOf(web.post(path, { input: visit }, headers));
    await web.upstream().queue.remove(id);
    const repeat = await web.post(path, { input: visit }, headers);
    expect(repeat.headers.get('Idempotency-Replayed')).toBe('true');
    expect(await refusal(repeat)).toMatchObject({ code: 'call_gone', status: 410 });
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(0);
  });
});

describe('ifOpen: reject', () => {
  it('stores nothing while the breaker is not closed', async () => {
    await using web = await startWeb({ redisUrl });
    const body = { input: visit, options: { ifOpen: 'reject' } };
    const early = await callOf(web.post(path, body, { 'Idempotency-Key': 'early' }));
    const { root, queue } = web.upstream();
    await web.redis.hset(`${root}:breaker`, {
      state: 'open',
      since: Date.now(),
      retryAt: Date.now() + 3_600_000,
      generation: 1,
    });
    const response = await web.post(path, body, { 'Idempotency-Key': 'late' });
    const seconds = Number(response.headers.get('Retry-After'));
    expect(seconds).toBeGreaterThan(3_000);
    expect(seconds).toBeLessThanOrEqual(3_600);
    const { code, status, body: answer } = await refusal(response);
    expect({ code, status }).toEqual({ code: 'breaker_open', status: 503 });
    expect(answer.error).toBe('External service temporarily unavailable');
    expect(await queue.getJobCountByTypes()).toBe(1);
    const repeat = await web.post(path, body, { 'Idempotency-Key': 'early' });
    expect({ status: repeat.status, id: (await callOf(repeat)).id }).toEqual({ status: 202, id: early.id });
  });
});
