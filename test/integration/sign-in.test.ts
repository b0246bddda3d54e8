/** Signing in with a whole fleet of real processes: never a storm, never a lost call, and a person told what to do. */
import type { CallView } from '@recloser/local-stack/stack-api';
import { describe, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const adminEnv = { ADMIN_PASSWORD: 'correct horse battery' };

/** Starts `count` workers with these variables, side by side. */
async function addWorkers({ stack }: TestStack, count: number, env: Record<string, string>): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => stack.addWorker(env)));
}

const untouched = (calls: readonly CallView[]) =>
  calls.every(({ status, attempts }) => status === 'deferred' && attempts.made === 0);

describe('a wrong password', () => {
  const wrong = { CROSSMARK_PASSWORD: 'wrong', WORKER_CONCURRENCY: '10' };

  test('8 workers, 100 calls: one login or two, calls kept unspent; restarted with the right one they run', async () => {
    await using running = await startTestStack({ workers: 0, env: adminEnv });
    const { api, stack } = running;
    const ids = await postVisits(api, 100);
    await addWorkers(running, 8, wrong);
    const held = await until(async () => {
      const { holds, queue } = await api.upstream();
      expect([holds.map(({ kind }) => kind), queue.active]).toEqual([['sign-in'], 0]);
      return holds;
    });
    expect(held[0]).toMatchObject({ until: null, reason: expect.stringContaining('CROSSMARK_PASSWORD') });
    expect(untouched(await api.calls(ids))).toBe(true);
    expect((await api.ledger()).logins).toBeLessThanOrEqual(2);
    // One with the right password is enough: those who know only the wrong one use its session.
    const { logins } = await api.ledger();
    await addWorkers(running, 1, { CROSSMARK_PASSWORD: 'simulator' });
    expect(await allEnded(api, ids)).toEqual({ succeeded: 100 });
    const ledger = await api.ledger();
    expect(ledger.logins - logins).toBe(1);
    expect(Math.max(...Object.values(ledger.visitsByItem))).toBe(1);
    await until(async () => expect((await api.upstream()).holds).toEqual([]));
    await Promise.all(stack.workers.map((worker) => stack.kill(worker)));
  });

  test('restarted with the same one: no further login; mended at Crossmark and released: one login and they run', async () => {
    await using running = await startTestStack({ workers: 2, env: { ...wrong, ...adminEnv } });
    const { api, stack } = running;
    const ids = await postVisits(api, 20);
    const isHeld = () =>
      until(async () => {
        const { holds, queue } = await api.upstream();
        expect([holds.map(({ kind }) => kind), queue.active]).toEqual([['sign-in'], 0]);
      });
    await isHeld();
    const { logins } = await api.ledger();
    expect(logins).toBeLessThanOrEqual(2);
    await stack.addWorker();
    await until(() => expect(stack.output().join('\n')).toContain('tried our own credentials'));
    expect((await api.ledger()).logins).toBe(logins);
    const admin = await AdminApi.logIn(stack.urls.admin, 'admin', adminEnv.ADMIN_PASSWORD);
    const release = () =>
      admin.post('/api/upstreams/crossmark/actions', { action: 'release', reason: 'try again' });
    // Released although nothing was mended: one more try, and held again.
    expect((await release()).status).toBe(200);
    await until(async () => expect((await api.ledger()).logins).toBe(logins + 1));
    await isHeld();
    await api.settings({ password: 'wrong' });
    expect((await release()).status).toBe(200);
    expect(await allEnded(api, ids)).toEqual({ succeeded: 20 });
    expect((await api.ledger()).logins).toBe(logins + 2);
    expect((await api.calls(ids)).every(({ attempts }) => attempts.made === 1)).toBe(true);
  });
});

describe('an expired session under load', () => {
  test('in every style: one new login, no call fails, no breaker opens, nothing is doubled', async () => {
    await using running = await startTestStack({ workers: 3 });
    const { api } = running;
    await api.faults([{ kind: 'latency', ms: 200 }]);
    expect(await allEnded(api, await postVisits(api, 30))).toEqual({ succeeded: 30 });
    let [first, logins] = [30, (await api.ledger()).logins];
    for (const style of ['401', '403', '302', 'html']) {
      const posting = postVisits(api, 150, first);
      await until(async () => expect((await api.upstream()).queue.active).toBeGreaterThan(15));
      await api.expire(style);
      const ids = await posting;
      expect(await allEnded(api, ids), style).toEqual({ succeeded: 150 });
      const ledger = await api.ledger();
      expect(ledger.logins - logins, style).toBe(1);
      expect((await api.calls(ids)).every(({ attempts }) => attempts.made === 1)).toBe(true);
      const { breaker } = await api.upstream();
      expect(breaker).toMatchObject({ state: 'closed', generation: 0 });
      expect(Math.max(...Object.values(ledger.visitsByItem))).toBe(1);
      expect(ledger.visitsMade).toBe(first + 150);
      first += 150;
      logins = ledger.logins;
    }
  });
});

describe('a pause that Crossmark asks for', () => {
  test.each([
    ['429 with seconds', { status: 429, retryAfterSeconds: 2 }],
    ['503 with seconds', { status: 503, retryAfterSeconds: 2 }],
  ])(
    '%s: the whole fleet waits, nothing is spent, no breaker counts it, it ends by itself',
    async (_what, fault) => {
      await using running = await startTestStack({ workers: 3 });
      const { api } = running;
      const read = () =>
        api.post('crossmark/list-planning', { input: { startDate: '2027-01-04', endDate: '2027-01-05' } });
      // Signed in, so that the pause is about calls.
      expect((await api.call(String((await read()).body.id), 20)).status).toBe('succeeded');
      const before = (await api.ledger()).requests.length;
      await api.faults([{ kind: 'status', ...fault, operation: 'list-planning', times: 1 }]);
      await read();
      const hold = await until(async () => {
        const [found] = (await api.upstream()).holds;
        expect(found?.kind).toBe('rate-limit');
        return found;
      });
      const ids: string[] = [];
      for (let i = 0; i < 20; i += 1) ids.push(String((await read()).body.id));
      expect(untouched(await api.calls(ids))).toBe(true);
      expect((await api.ledger()).requests.length).toBe(before + 1);
      expect(await allEnded(api, ids)).toEqual({ succeeded: 20 });
      const ends = Date.parse(hold?.until ?? '');
      const after = (await api.ledger()).requests.slice(before + 1);
      expect(Math.min(...after.map(({ at }) => at))).toBeGreaterThanOrEqual(ends - 50);
      expect((await api.calls(ids)).every(({ attempts }) => attempts.made === 1)).toBe(true);
      const { breaker, holds } = await api.upstream();
      expect(breaker).toMatchObject({ state: 'closed', generation: 0, consecutiveFailures: 0 });
      expect(holds).toEqual([]);
    },
  );
});

describe('Walmart', () => {
  const report = (api: TestStack['api'], n: number) =>
    api.post('walmart-edr/get-report', { input: { eventId: String(600_000 + n) } });

  async function signIn(admin: AdminApi): Promise<void> {
    // Two text messages are at least 30 s apart, whoever asks.
    await until(async () =>
      expect(await admin.post('/api/sign-in/walmart-edr/send-code', {})).toMatchObject({
        status: 200,
        body: { kind: 'code-sent' },
      }),
    );
    expect(await admin.post('/api/sign-in/walmart-edr/verify', { code: '123456' })).toMatchObject({
      status: 200,
      body: { kind: 'signed-in' },
    });
  }

  const isHeld = (api: TestStack['api']) =>
    until(async () => {
      const { holds, queue } = await api.upstream('walmart-edr');
      expect([holds.map(({ kind }) => kind), queue.active]).toEqual([['sign-in'], 0]);
      expect(holds[0]).toMatchObject({
        until: null,
        reason: expect.stringContaining('/sign-in/walmart-edr'),
      });
    });

  test('from no session to reports by send code and enter code; expired in the middle of work it says what to do', async () => {
    await using running = await startTestStack({ workers: 3, env: adminEnv });
    const { api, stack } = running;
    const admin = await AdminApi.logIn(stack.urls.admin, 'admin', adminEnv.ADMIN_PASSWORD);
    const ids: string[] = [];
    for (let i = 0; i < 10; i += 1) ids.push(String((await report(api, i)).body.id));
    await isHeld(api);
    expect(untouched(await api.calls(ids))).toBe(true);
    expect((await api.ledger('walmart-edr')).smsSent).toBe(0);
    // Releasing is not signing in: for a text message only a completed sign-in counts.
    await admin.post('/api/upstreams/walmart-edr/actions', { action: 'release', reason: 'impatient' });
    await isHeld(api);
    await signIn(admin);
    expect(await allEnded(api, ids)).toEqual({ succeeded: 10 });

    await api.faults([{ kind: 'latency', ms: 150 }], { name: 'walmart-edr' });
    const posted = await Promise.all(Array.from({ length: 120 }, (_, i) => report(api, 10 + i)));
    const more = posted.map(({ body }) => String(body.id));
    await until(async () => expect((await api.upstream('walmart-edr')).queue.active).toBeGreaterThan(5));
    await api.expire('401', 'walmart-edr');
    await isHeld(api);
    const waiting = (await api.calls(more)).filter(({ status }) => status !== 'succeeded');
    expect(waiting.length).toBeGreaterThan(0);
    expect(untouched(waiting)).toBe(true);
    const quiet = (await api.ledger('walmart-edr')).requests.length;
    await signIn(admin);
    expect(await allEnded(api, more)).toEqual({ succeeded: 120 });
    const ledger = await api.ledger('walmart-edr');
    expect(ledger.smsSent).toBe(2);
    expect(ledger.requests.length).toBeGreaterThan(quiet);
    const { breaker, holds } = await api.upstream('walmart-edr');
    expect(breaker).toMatchObject({ state: 'closed', generation: 0 });
    expect(holds).toEqual([]);
    // Nothing keeps a session alive that nobody needs: without work nothing is sent.
    const settled = (await api.ledger('walmart-edr')).requests.length;
    expect(await allEnded(api, await postVisits(api, 40))).toEqual({ succeeded: 40 });
    expect((await api.ledger('walmart-edr')).requests.length).toBe(settled);
  });
});
