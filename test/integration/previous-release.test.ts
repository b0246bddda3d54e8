/**
 * An upgrade: this release reads and finishes the calls that the previous one left in Redis, in every state. SESSION_KEY
 * is rotated at the same time: the stored data is encrypted with the old key.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLogger } from '@recloser/runtime/observe/logger';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { createClient } from '@recloser/upstreams/clients';
import { upstreamSettings } from '@recloser/upstreams/contract/settings';
import { definitions } from '@recloser/upstreams/definitions';
import { SessionStore } from '@recloser/upstreams/session/store';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { restoreRedis, type StoredKey } from '../previous-release/redis-contents.ts';
import { startTestStack, type TestStack, until } from '../support/stack.ts';

type Fixture = {
  readonly calls: Readonly<Record<string, { id: string; operation: string; input: Record<string, string> }>>;
  readonly contents: readonly StoredKey[];
};

const fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '../previous-release/fixture.json'), 'utf8'),
) as Fixture;
const [oldKey, newKey] = [Buffer.alloc(32, 7), Buffer.alloc(32, 8)];

let running: TestStack;
let redis: Redis;
beforeAll(async () => {
  running = await startTestStack({
    workers: 0,
    env: {
      SESSION_KEY: `${newKey.toString('base64')},${oldKey.toString('base64')}`,
      READ_BACK_WAITS_MS: '100,400,1000',
      // The fixture's times are in the past.
      KEEP_FAILED_DAYS: '3650',
      KEEP_SUCCEEDED_HOURS: '87600',
    },
  });
  redis = new Redis(running.stack.redisUrl);
  await restoreRedis(redis, fixture.contents);
});
afterAll(async () => {
  redis.disconnect();
  await running[Symbol.asyncDispose]();
});

function of(name: string) {
  const call = fixture.calls[name];
  if (!call) throw new Error(`the fixture has no call ${name}`);
  return call;
}

const view = (name: string) => running.api.call(of(name).id);

/** Books a visit directly at the upstream, like a request whose worker was killed. */
async function bookAtUpstream(input: object): Promise<void> {
  const log = createLogger({ name: 'test', level: 'silent' });
  const env = { CROSSMARK_BASE_URL: `${running.stack.urls.simulator}/crossmark` };
  const sealer = createSealer(Buffer.alloc(32, 1));
  const sessions = new SessionStore({ redis, root: 'test:{crossmark}', sealer, worker: 'test' });
  const client = createClient('crossmark', {
    settings: upstreamSettings(definitions.crossmark, env),
    sessions,
    log,
  });
  const context = { signal: AbortSignal.timeout(10_000), onSending: async () => {} };
  expect((await client.run('schedule-event', input, context)).kind).toBe('done');
  await client.close();
}

describe('the calls of the previous release', () => {
  test('are shown with their status', async () => {
    const statuses = Object.fromEntries(
      await Promise.all(
        Object.keys(fixture.calls).map(async (name) => [name, (await view(name)).status] as const),
      ),
    );
    expect(statuses).toMatchObject({
      succeeded: 'succeeded',
      failed: 'failed',
      inDoubt: 'in_doubt',
      sending: 'running',
      waiting: 'queued',
      first: 'queued',
      last: 'queued',
      sealed: 'queued',
      read: 'queued',
    });
    expect(statuses.retrying).toMatch(/^(retrying|queued)$/);
    expect((await view('succeeded')).result).toMatchObject({ mPlanId: of('succeeded').input.mPlanId });
    expect((await view('failed')).error?.code).toEqual(expect.any(String));
  });

  test('are finished: none is lost or done twice, and every attempt is counted', async () => {
    const { api, stack } = running;
    // The killed worker's request was carried out. The other ambiguous one never arrived.
    await bookAtUpstream(of('sending').input);
    await Promise.all([stack.addWorker(), stack.addWorker()]);
    const names = [
      'retrying',
      'readBack',
      'sending',
      'waiting',
      'first',
      'last',
      'sealed',
      'read',
      'scheduled',
    ];
    for (const name of names) {
      await until(async () => expect([name, (await view(name)).status]).toEqual([name, 'succeeded']));
    }
    await until(async () => expect((await view('expiring')).status).toBe('expired'));
    expect((await view('inDoubt')).status).toBe('in_doubt');
    expect((await view('failed')).status).toBe('failed');
    expect((await view('waiting')).attempts).toMatchObject({ made: 1, deferrals: 0, stalls: 0 });
    expect((await view('retrying')).attempts.made).toBe(2);
    expect((await view('last')).attempts).toMatchObject({ made: 1, max: 2 });
    expect((await view('sending')).attempts).toMatchObject({ made: 1, stalls: 1 });
    const { visitsByItem, requests } = await api.ledger();
    const booked = ['readBack', 'sending', 'waiting', 'first', 'last', 'scheduled'];
    expect(visitsByItem).toEqual(Object.fromEntries(booked.map((name) => [of(name).input.mPlanId, 1])));
    // Includes the visit that was booked directly, which was found and not booked again.
    // A request with the old, expired session got a 401 and does not count.
    const taken = requests.filter(
      ({ operation, outcome }) => operation === 'schedule-event' && outcome !== 'answered 401',
    );
    expect(taken).toHaveLength(booked.length);
    expect((await api.upstream()).holds).toEqual([]);
  });

  test('are still found by their idempotency key', async () => {
    const { id, input } = of('waiting');
    const body = { input, options: { metadata: { order: 'A-1' } } };
    const again = await running.api.post('crossmark/schedule-event', body, {
      'idempotency-key': 'fixture-key-2',
    });
    expect(again.body.id).toBe(id);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  test('can be retried if they failed', async () => {
    const { id } = of('failed');
    const { urls } = running.stack;
    expect((await fetch(`${urls.web}/v1/calls/${id}/retry`, { method: 'POST' })).status).toBe(202);
    await until(async () => expect((await view('failed')).status).toBe('succeeded'));
  });
});
