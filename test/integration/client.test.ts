/** The TypeScript client against the web app, and against a scripted server that misbehaves. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Call } from '@recloser/client/call';
import { ProblemError, UnreachableError, WaitTimeoutError } from '@recloser/client/errors';
import { RecloserClient, type RecloserClientOptions } from '@recloser/client/recloser-client';
import { freePort } from '@recloser/local-stack/process/free-port';
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { startSystem, type TestSystem } from '../support/system.ts';

type Visit = { readonly scheduleEventId: string };

let system: TestSystem;
let client: RecloserClient;
beforeAll(async () => {
  system = await startSystem({ redisUrl: inject('redisUrl'), env: { WORKER_UPSTREAMS: 'crossmark' } });
  client = new RecloserClient({ baseUrl: system.web.url });
});
afterAll(() => system[Symbol.asyncDispose]());

const later = (): string => new Date(Date.now() + 3_600_000).toISOString();

/** Returns the error that a promise rejects with. */
async function failure<E>(promise: Promise<unknown>, kind: new (...args: never[]) => E): Promise<E> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(kind);
  return error as E;
}

describe('with the real web app', () => {
  test('submits a call and waits until it ends', async () => {
    const submitted = await client.submit<Visit>('crossmark', 'schedule-event', visitInput(1));
    const call = await client.wait<Visit>(submitted.id, { timeoutMs: 30_000 });
    expect(call).toMatchObject({ id: submitted.id, status: 'succeeded', error: null });
    expect(call.result?.scheduleEventId).toMatch(/^\d+$/);
    expect(await client.get(call.id)).toEqual(call);
  });

  test('returns the finished call with waitSeconds', async () => {
    const call = await client.submit('crossmark', 'schedule-event', visitInput(2), { waitSeconds: 30 });
    expect(call.status).toBe('succeeded');
  });

  test('the same key returns the same call, another key a new call', async () => {
    const options = { runAt: later(), idempotencyKey: 'invoice-17' };
    const [one, same] = [
      await client.submit('crossmark', 'schedule-event', visitInput(3), options),
      await client.submit('crossmark', 'schedule-event', visitInput(3), options),
    ];
    const { idempotencyKey: _key, ...noKey } = options;
    const other = await client.submit('crossmark', 'schedule-event', visitInput(3), noKey);
    expect(same.id).toBe(one.id);
    expect(other.id).not.toBe(one.id);
    const refused = client.submit('crossmark', 'schedule-event', visitInput(4), options);
    expect(await failure(refused, ProblemError)).toMatchObject({
      status: 422,
      code: 'idempotency_key_reused',
    });
  });

  test('cancels a waiting call, and reports why it cannot cancel others', async () => {
    const { id } = await client.submit('crossmark', 'schedule-event', visitInput(5), { runAt: later() });
    expect((await client.cancel(id)).status).toBe('cancelled');
    expect((await client.cancel(id)).status).toBe('cancelled');
    expect((await client.wait(id)).status).toBe('cancelled');
    const done = await client.submit('crossmark', 'schedule-event', visitInput(9), { waitSeconds: 30 });
    expect(await failure(client.cancel(done.id), ProblemError)).toMatchObject({
      status: 409,
      code: 'call_finished',
      afterLostAttempt: false,
    });
  });

  test('retries a call that failed', async () => {
    system.simulator.faults('crossmark', [{ kind: 'not-ok', operation: 'schedule-event', times: 1 }]);
    const { id } = await client.submit('crossmark', 'schedule-event', visitInput(6));
    const failed = await client.wait(id, { timeoutMs: 30_000 });
    expect(failed).toMatchObject({ status: 'failed', error: { code: expect.any(String) } });
    await client.retry(id);
    expect((await client.wait(id, { timeoutMs: 30_000 })).status).toBe('succeeded');
    expect(await failure(client.retry(id), ProblemError)).toMatchObject({ status: 409 });
  });

  test('submits a batch and lists its calls', async () => {
    const items = Array.from({ length: 30 }, (_, n) => ({
      upstream: 'crossmark',
      operation: 'schedule-event',
      input: visitInput(10 + n),
    }));
    const results = await client.batch(items);
    expect(results.map(({ status }) => status)).toEqual(items.map(() => 202));
    const ids = results.map(({ call }) => call?.id ?? '');
    expect(new Set(ids).size).toBe(30);
    const calls = await Promise.all(ids.map((id) => client.wait(id, { timeoutMs: 30_000 })));
    expect(new Set(calls.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    const listed: string[] = [];
    for (let cursor: string | undefined | null; cursor !== null; ) {
      const query = { upstream: 'crossmark', status: 'succeeded', limit: 20 } as const;
      const page = await client.list({ ...query, ...(cursor && { cursor }) });
      listed.push(...page.calls.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect(listed).toEqual(expect.arrayContaining(ids));
    expect(new Set(listed).size).toBe(listed.length);
  });

  test('a malformed batch is refused completely', async () => {
    const item = { upstream: 'crossmark', operation: 'schedule-event', input: {} };
    const error = await failure(client.batch([item]), ProblemError);
    expect(error).toMatchObject({ status: 422, code: 'validation_failed' });
    expect(error.errors.length).toBeGreaterThan(0);
  });

  test('reports each invalid field', async () => {
    const error = await failure(client.submit('crossmark', 'schedule-event', { repId: 7 }), ProblemError);
    expect(error).toMatchObject({ status: 422, code: 'validation_failed', requestId: expect.any(String) });
    expect(error.errors.map(({ pointer }) => pointer)).toContain('/input/repId');
    const unknown = await failure(client.submit('nobody', 'schedule-event', {}), ProblemError);
    expect(unknown).toMatchObject({ status: 404, code: 'unknown_upstream' });
    const nowhere = await failure(client.get('crossmark-1'), ProblemError);
    expect(nowhere).toMatchObject({ status: 404, code: 'call_not_found' });
  });

  test('wait times out with the current state of the call', async () => {
    const { id } = await client.submit('crossmark', 'schedule-event', visitInput(7), { runAt: later() });
    const error = await failure(client.wait(id, { timeoutMs: 1_200 }), WaitTimeoutError);
    expect(error.call).toMatchObject({ id, status: 'scheduled' });
  });

  test("stops at once when the caller's signal aborts", async () => {
    const { id } = await client.submit('crossmark', 'schedule-event', visitInput(8), { runAt: later() });
    const stop = new AbortController();
    const waiting = client.wait(id, { signal: stop.signal });
    const reason = new Error('enough');
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(client.get(id, { signal: stop.signal })).rejects.toBe(reason);
  });

  test('a lost answer does not duplicate the call', async () => {
    // Drops the first answer to each POST.
    const lost = new Set<string>();
    const losing: typeof fetch = async (url, init) => {
      const response = await fetch(url, init);
      const key = new Headers(init?.headers).get('idempotency-key') ?? '';
      if (init?.method !== 'POST' || lost.has(key)) return response;
      lost.add(key);
      await response.arrayBuffer();
      throw new TypeError('fetch failed');
    };
    const shaky = new RecloserClient({ baseUrl: system.web.url, fetch: losing });
    const submitted = await Promise.all(
      Array.from({ length: 10 }, (_, n) => shaky.submit('crossmark', 'schedule-event', visitInput(50 + n))),
    );
    expect(lost.size).toBe(10);
    for (const { id } of submitted) expect((await client.wait(id)).status).toBe('succeeded');
    const { visitsByItem } = await system.api.ledger();
    for (let n = 50; n < 60; n += 1) expect(visitsByItem[String(30_000_000 + n)]).toBe(1);
  });
});

type Seen = {
  readonly method: string;
  readonly url: string;
  readonly key: string;
  readonly authorization: string;
};

/** Answers each request with the next handler. The last one handles all further requests. */
async function scripted(...turns: ((response: ServerResponse, request: IncomingMessage) => unknown)[]) {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    const key = String(headers['idempotency-key']);
    seen.push({ method, url, key, authorization: String(headers.authorization) });
    (turns[seen.length - 1] ?? turns.at(-1))?.(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const connect = (options: Partial<RecloserClientOptions> = {}) =>
    new RecloserClient({ baseUrl, ...options });
  return { seen, connect };
}

const json =
  (status: number, body: object, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
const call = { id: 'crossmark-1', status: 'succeeded' };
const accepted = json(202, call);
const submit = (connected: RecloserClient): Promise<Call> =>
  connected.submit('crossmark', 'schedule-event', {});

describe('with a web app that misbehaves', () => {
  test('retries with the same key after 503, 429 and broken connections, not before Retry-After', async () => {
    const api = await scripted(
      json(503, { code: 'storage_unavailable' }, { 'retry-after': '1' }),
      (response) => response.destroy(),
      json(503, { code: 'storage_unknown' }),
      json(429, { code: 'backlog_full' }, { 'retry-after': '0' }),
      json(502, { message: 'a proxy' }),
      (response) => response.writeHead(202).end('<html>'),
      accepted,
    );
    // Makes the client's own backoff as short as possible.
    vi.spyOn(Math, 'random').mockReturnValue(0);
    onTestFinished(() => void vi.restoreAllMocks());
    const started = performance.now();
    expect(await submit(api.connect({ apiKey: 'sesame' }))).toEqual(call);
    expect(performance.now() - started).toBeGreaterThan(990);
    expect(api.seen).toHaveLength(7);
    expect(new Set(api.seen.map(({ key }) => key)).size).toBe(1);
    expect(api.seen[0]).toMatchObject({
      authorization: 'Bearer sesame',
      url: '/v1/calls/crossmark/schedule-event',
    });
    expect(api.seen[0]?.key).toMatch(/^[0-9a-f-]{36}$/);
  });

  test.each([
    [503, 'breaker_open'],
    [422, 'validation_failed'],
    [401, 'unauthorized'],
    [500, 'internal_error'],
    [409, 'idempotency_unresolved'],
  ])('does not repeat %i %s', async (status, code) => {
    const api = await scripted(json(status, { code, detail: 'No.' }, { 'retry-after': '1' }));
    const error = await failure(submit(api.connect({ apiKey: 'sesame' })), ProblemError);
    expect(error).toMatchObject({ status, code, detail: 'No.', retryAfterMs: 1000 });
    expect(JSON.stringify(error) + error.message).not.toContain('sesame');
    expect(api.seen).toHaveLength(1);
  });

  test('gives up after retryForMs, with the key to continue with', async () => {
    const nobody = new RecloserClient({ baseUrl: `http://127.0.0.1:${await freePort()}`, retryForMs: 400 });
    const error = await failure(
      nobody.submit('crossmark', 'schedule-event', {}, { idempotencyKey: 'mine' }),
      UnreachableError,
    );
    expect(error.idempotencyKey).toBe('mine');
    const patient = await scripted(json(503, { code: 'storage_unavailable' }, { 'retry-after': '60' }));
    expect(await failure(submit(patient.connect({ retryForMs: 5_000 })), ProblemError)).toMatchObject({
      status: 503,
    });
    // Retry-After exceeds `retryForMs`, so the client does not wait.
    expect(patient.seen).toHaveLength(1);
  });

  test('times out when there is no answer', async () => {
    const api = await scripted(() => {}, accepted);
    expect(await submit(api.connect({ timeoutMs: 500 }))).toEqual(call);
    expect(api.seen.length).toBeGreaterThan(1);
  });

  test('a lost retry is not repeated; a lost cancel is, and a 409 about it counts as success', async () => {
    const retry = await scripted((response) => response.destroy(), accepted);
    await failure(retry.connect().retry('crossmark-1'), UnreachableError);
    expect(retry.seen).toHaveLength(1);
    const cancelled = { ...call, status: 'cancelled' };
    const cancel = await scripted(
      (response) => response.destroy(),
      json(409, { code: 'call_finished' }),
      json(200, cancelled),
    );
    expect(await cancel.connect().cancel('crossmark-1')).toEqual(cancelled);
    expect(cancel.seen.map(({ method }) => method)).toEqual(['DELETE', 'DELETE', 'GET']);
  });

  test('does not follow redirects, which would send the API key on', async () => {
    const api = await scripted((response) => response.writeHead(302, { location: '/elsewhere' }).end());
    await failure(api.connect({ retryForMs: 0 }).get('crossmark-1'), UnreachableError);
    expect(api.seen).toHaveLength(1);
  });

  test('an invalid base URL throws in the constructor', () => {
    expect(() => new RecloserClient({ baseUrl: 'nowhere' })).toThrow(TypeError);
  });
});
