/** Sign-ins of a fleet of real processes: no login storm, no lost call, and clear instructions for a person. */
import type { CallView, StackApi } from '@recloser/local-stack/stack/stack-api';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const adminEnv = { ADMIN_PASSWORD: 'correct horse battery' };
const logIn = ({ stack }: TestStack) => AdminApi.logIn(stack.urls.admin, 'admin', adminEnv.ADMIN_PASSWORD);

const untouched = (calls: readonly CallView[]) =>
  calls.every(({ status, attempts }) => status === 'deferred' && attempts.made === 0);

/** Waits until a `sign-in` hold is active and all calls fetched before it are back in the queue. */
const untilHeld = (api: StackApi, { name = 'crossmark', reason = '' } = {}) =>
  until(async () => {
    const { holds, queue } = await api.upstream(name);
    expect([holds.map(({ kind }) => kind), queue.active]).toEqual([['sign-in'], 0]);
    expect(holds[0]).toMatchObject({ until: null, reason: expect.stringContaining(reason) });
  });

describe('a fleet with a wrong password', () => {
  let running: TestStack;
  let admin: AdminApi;
  beforeAll(async () => {
    running = await startTestStack({ workers: 4, env: { ...adminEnv, CROSSMARK_PASSWORD: 'wrong' } });
    admin = await logIn(running);
  });
  afterAll(() => running[Symbol.asyncDispose]());

  const release = () =>
    admin.post('/api/upstreams/crossmark/actions', { action: 'release', reason: 'try again' });

  test('signs in once or twice and charges no attempt; after a restart not at all; after a fix and a release once, and the calls run', async () => {
    const { api, stack } = running;
    const ids = await postVisits(api, 60);
    await untilHeld(api, { reason: 'CROSSMARK_PASSWORD' });
    expect(untouched(await api.calls(ids))).toBe(true);
    const { logins } = await api.ledger();
    expect(logins).toBeLessThanOrEqual(2);
    await stack.addWorker();
    await until(() => expect(stack.output().join('\n')).toContain("sign-in with this worker's credentials"));
    expect((await api.ledger()).logins).toBe(logins);
    // Released without a fix: one more sign-in, then held again.
    expect((await release()).status).toBe(200);
    await until(async () => expect((await api.ledger()).logins).toBe(logins + 1));
    await untilHeld(api);
    await api.settings({ password: 'wrong' });
    expect((await release()).status).toBe(200);
    expect(await allEnded(api, ids)).toEqual({ succeeded: 60 });
    expect((await api.ledger()).logins).toBe(logins + 2);
    expect((await api.calls(ids)).every(({ attempts }) => attempts.made === 1)).toBe(true);
  });

  test('needs only one worker with the right password: the others use its session', async () => {
    const { api, stack } = running;
    await api.settings({ password: 'simulator' });
    await api.expire('401');
    const ids = await postVisits(api, 60, 60);
    await untilHeld(api, { reason: 'CROSSMARK_PASSWORD' });
    expect(untouched(await api.calls(ids))).toBe(true);
    const { logins } = await api.ledger();
    await stack.addWorker({ CROSSMARK_PASSWORD: 'simulator' });
    expect(await allEnded(api, ids)).toEqual({ succeeded: 60 });
    const ledger = await api.ledger();
    expect(ledger.logins).toBe(logins + 1);
    expect(Math.max(...Object.values(ledger.visitsByItem))).toBe(1);
    await until(async () => expect((await api.upstream()).holds).toEqual([]));
  });
});

describe('a fleet of three', () => {
  let running: TestStack;
  let admin: AdminApi;
  let redis: Redis;
  let queue: Queue;
  beforeAll(async () => {
    // Requests held at the gate must not time out on a slow machine.
    const patient = { CROSSMARK_TIMEOUT_MS: '60000', WALMART_EDR_TIMEOUT_MS: '60000' };
    running = await startTestStack({ workers: 3, env: { ...adminEnv, ...patient } });
    admin = await logIn(running);
    redis = new Redis(running.stack.redisUrl, { maxRetriesPerRequest: null });
    queue = new Queue('crossmark', { connection: redis, prefix: 'recloser:{crossmark}' });
  });
  afterAll(async () => {
    await queue.close();
    redis.disconnect();
    await running[Symbol.asyncDispose]();
  });

  describe('a rate limit of Crossmark', () => {
    const act = (action: string) =>
      admin.post('/api/upstreams/crossmark/actions', { action, reason: 'the time has come' });

    /** Makes the hold end in one second. Setting and releasing an operator's hold makes every worker read it again. */
    async function endSoon(): Promise<number> {
      const holds = 'recloser:{crossmark}:holds';
      const [seconds] = await redis.time();
      const ends = (Number(seconds) + 1) * 1_000;
      const hold = JSON.parse((await redis.hget(holds, 'rate-limit')) ?? '{}') as object;
      await redis.hset(holds, 'rate-limit', JSON.stringify({ ...hold, until: ends }));
      for (const action of ['hold', 'release']) expect((await act(action)).status).toBe(200);
      return ends;
    }

    test.each([
      ['429', { status: 429, retryAfterSeconds: 500 }],
      ['503', { status: 503, retryAfterSeconds: 500 }],
    ])(
      '%s with seconds: the whole fleet waits, nothing is spent, no breaker counts it, it ends by itself',
      async (_what, fault) => {
        const { api } = running;
        const read = async () => {
          const input = { startDate: '2027-01-04', endDate: '2027-01-05' };
          return String((await api.post('crossmark/list-planning', { input })).body.id);
        };
        // Signs in first, so that the rate limit meets calls and not the sign-in.
        expect(await allEnded(api, [await read()])).toEqual({ succeeded: 1 });
        const before = (await api.ledger()).requests.length;
        await api.faults([{ kind: 'status', ...fault, operation: 'list-planning', times: 1 }]);
        const ids = [await read()];
        await until(async () => {
          const [hold] = (await api.upstream()).holds;
          expect(hold?.kind).toBe('rate-limit');
          expect(Date.parse(hold?.until ?? '')).toBeGreaterThan(Date.now() + 300_000);
          expect(await queue.isPaused()).toBe(true);
        });
        for (let i = 0; i < 20; i += 1) ids.push(await read());
        await until(async () => expect(untouched(await api.calls(ids))).toBe(true));
        expect((await api.ledger()).requests.length).toBe(before + 1);
        const ends = await endSoon();
        expect(await allEnded(api, ids)).toEqual({ succeeded: 21 });
        const after = (await api.ledger()).requests.slice(before + 1);
        expect(Math.min(...after.map(({ at }) => at))).toBeGreaterThanOrEqual(ends);
        expect((await api.calls(ids)).every(({ attempts }) => attempts.made === 1)).toBe(true);
        const { breaker, holds } = await api.upstream();
        expect(breaker).toMatchObject({ state: 'closed', generation: 0, consecutiveFailures: 0 });
        expect(holds).toEqual([]);
      },
    );
  });

  describe('an expired session under load', () => {
    beforeAll(async () => {
      const { api } = running;
      expect(await allEnded(api, await postVisits(api, 1, 1_000))).toEqual({ succeeded: 1 });
    });

    test.each(['401', '403', '302', 'html'])(
      '%s: one new login, no call fails, no breaker opens, nothing is doubled',
      async (style) => {
        const { api } = running;
        const { logins, visitsMade } = await api.ledger();
        await api.gate({ operation: 'schedule-event' });
        const ids = await postVisits(api, 40, visitsMade);
        await until(async () => expect((await api.ledger()).held).toBe(30));
        await api.expire(style);
        await api.faults([]);
        expect(await allEnded(api, ids)).toEqual({ succeeded: 40 });
        const ledger = await api.ledger();
        expect(ledger.logins).toBe(logins + 1);
        // A login page proves nothing about a write. A write that met one is read back, which costs it one attempt.
        const most = style === 'html' ? 2 : 1;
        expect(Math.max(...(await api.calls(ids)).map(({ attempts }) => attempts.made))).toBeLessThanOrEqual(
          most,
        );
        const { breaker } = await api.upstream();
        expect(breaker).toMatchObject({ state: 'closed', generation: 0 });
        expect(Math.max(...Object.values(ledger.visitsByItem))).toBe(1);
        expect(ledger.visitsMade).toBe(visitsMade + 40);
      },
    );
  });

  describe('Walmart', () => {
    const name = 'walmart-edr';
    const postReports = async (count: number, first: number) => {
      const posted = await Promise.all(
        Array.from({ length: count }, (_, n) =>
          running.api.post(`${name}/get-report`, { input: { eventId: String(600_000 + first + n) } }),
        ),
      );
      return posted.map(({ body }) => String(body.id));
    };

    async function signIn(): Promise<void> {
      expect(await admin.post(`/api/sign-in/${name}/send-code`, {})).toMatchObject({
        status: 200,
        body: { kind: 'code-sent' },
      });
      expect(await admin.post(`/api/sign-in/${name}/verify`, { code: '123456' })).toMatchObject({
        status: 200,
        body: { kind: 'signed-in' },
      });
    }

    const needed = { name, reason: `/sign-in/${name}` };

    test('gets reports after a person sends and enters the code; after the session expires, the hold says what to do', async () => {
      const { api } = running;
      const ids = await postReports(10, 0);
      await untilHeld(api, needed);
      expect(untouched(await api.calls(ids))).toBe(true);
      expect((await api.ledger(name)).smsSent).toBe(0);
      // Releasing the hold is not enough: a text message requires a completed sign-in.
      await admin.post(`/api/upstreams/${name}/actions`, { action: 'release', reason: 'impatient' });
      await untilHeld(api, needed);
      await signIn();
      expect(await allEnded(api, ids)).toEqual({ succeeded: 10 });

      await api.gate({ operation: 'get-report' }, { name });
      const more = await postReports(40, 10);
      await until(async () => expect((await api.ledger(name)).held).toBe(30));
      await api.expire('401', name);
      await api.faults([], { name });
      await untilHeld(api, needed);
      expect(untouched(await api.calls(more))).toBe(true);
      // Text messages are at least 30 s apart. Deleting these keys ends that time.
      await redis.del(`recloser:{${name}}:session:code-claim`, `recloser:{${name}}:code-asked`);
      await signIn();
      expect(await allEnded(api, more)).toEqual({ succeeded: 40 });
      const ledger = await api.ledger(name);
      expect(ledger.smsSent).toBe(2);
      const { breaker, holds } = await api.upstream(name);
      expect(breaker).toMatchObject({ state: 'closed', generation: 0 });
      expect(holds).toEqual([]);
      // Without calls, no request is sent to keep the session alive.
      const crossmark = await postVisits(api, 20, 2_000);
      expect(await allEnded(api, crossmark)).toEqual({ succeeded: 20 });
      expect((await api.ledger(name)).requests.length).toBe(ledger.requests.length);
    });
  });
});
