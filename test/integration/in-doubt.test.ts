/** Writes without an answer, from the fault at the upstream until a person settles them, with real processes. */
import { type CallView, visitInput } from '@recloser/local-stack/stack/stack-api';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.ts';
import { allEnded, startTestStack, type TestStack, until } from '../support/stack.ts';

const adminEnv = { ADMIN_PASSWORD: 'correct horse battery' };

const env = {
  ...adminEnv,
  // Only the tests of a timeout wait for it.
  CROSSMARK_TIMEOUT_MS: '60000',
  CROSSMARK_BREAKER_FAIL_MAX: '1000',
  CROSSMARK_BREAKER_FAIL_PERCENT: '100',
  READ_BACK_WAITS_MS: '100,300,1000',
};

let running: TestStack;
let admin: AdminApi;
let n = 0;

const nextInput = (): Record<string, string> => {
  n += 1;
  return visitInput(n);
};

beforeAll(async () => {
  running = await startTestStack({ workers: 2, env });
  admin = await AdminApi.logIn(running.stack.urls.admin, 'admin', adminEnv.ADMIN_PASSWORD);
});
afterAll(() => running[Symbol.asyncDispose]());
beforeEach(() => running.api.faults([]));

async function schedule(input = nextInput()): Promise<{ id: string; input: Record<string, string> }> {
  const { status, body } = await running.api.post('crossmark/schedule-event', { input });
  expect(status, JSON.stringify(body)).toBe(202);
  return { id: String(body.id), input };
}

async function reissue(): Promise<{ id: string; input: Record<string, string> }> {
  const { mPlanId = '', locationId = '', repId = '' } = nextInput();
  const input = { mPlanId, locationId, repId, expirationDate: '2027-02-01', comments: 'Ask Jo Muster' };
  const { status, body } = await running.api.post('crossmark/reissue-event', { input });
  expect(status, JSON.stringify(body)).toBe(202);
  return { id: String(body.id), input };
}

/** Waits until a call has ended or is in doubt. */
async function endOf(id: string): Promise<CallView> {
  await allEnded(running.api, [id]);
  return await running.api.call(id);
}

/**
 * Checks that the call caused one request that Crossmark could carry out. After an `expired` fault, one worker still has
 * the old session, and its request is refused earlier.
 */
const once = { times: 1, signedIn: true };
const aimed = { ...once, operation: 'schedule-event' };
const visitsOf = async ({ mPlanId = '' }: Record<string, string>) =>
  (await running.api.ledger()).visitsByItem[mPlanId] ?? 0;
const reworksOf = async ({ mPlanId = '' }: Record<string, string>) =>
  (await running.api.ledger()).pendingWorkByItem[mPlanId] ?? 0;

/** Checks that the write was done once, found by a read, and cost one attempt. */
async function expectFound({ id, input }: Awaited<ReturnType<typeof schedule>>, code: string): Promise<void> {
  const call = await endOf(id);
  expect(call, JSON.stringify(call.history)).toMatchObject({ status: 'succeeded', attempts: { made: 1 } });
  expect(call.history[0]).toMatchObject({ outcome: 'in_doubt', code });
  expect(call.history.at(-1)).toMatchObject({ outcome: 'done', code: 'read_back_applied' });
  expect(call.result).toEqual({ ...input, scheduleEventId: expect.stringMatching(/^\d+$/) });
  expect(await visitsOf(input)).toBe(1);
}

/** Checks that three reads found nothing, and that a second attempt did the write. */
async function expectSentAgain({ id, input }: Awaited<ReturnType<typeof schedule>>): Promise<void> {
  const call = await endOf(id);
  expect(call, JSON.stringify(call.history)).toMatchObject({ status: 'succeeded', attempts: { made: 2 } });
  const absent = call.history.filter(({ code }) => code === 'read_back_absent');
  expect(absent).toHaveLength(3);
  expect(await visitsOf(input)).toBe(1);
}

describe('a write that was done and whose answer was lost is found and not done again', () => {
  test.each([
    ['connection reset', { kind: 'reset', afterApply: true }, 'connection_lost'],
    ['500', { kind: 'status', status: 500, afterApply: true }, 'upstream_error'],
    [
      '503 with Retry-After',
      { kind: 'status', status: 503, retryAfterSeconds: 1, afterApply: true },
      'upstream_error',
    ],
    ['a page instead of JSON', { kind: 'html', afterApply: true }, 'unreadable_answer'],
    ['an empty answer', { kind: 'empty', afterApply: true }, 'unreadable_answer'],
    ['an answer cut in the middle', { kind: 'truncate', afterApply: true }, 'unreadable_answer'],
    [
      'a connection cut in the middle',
      { kind: 'truncate', abort: true, afterApply: true },
      'connection_lost',
    ],
    ['broken JSON', { kind: 'bad-json', afterApply: true }, 'unreadable_answer'],
  ])('%s', async (_what, fault, code) => {
    await running.api.faults([{ ...aimed, ...fault }]);
    await expectFound(await schedule(), code);
  });

  test('a write that reads show only after a lag is not sent again', async () => {
    await running.api.settings({ readBackLagMs: 600 });
    try {
      await running.api.faults([{ ...aimed, kind: 'reset', afterApply: true }]);
      await expectFound(await schedule(), 'connection_lost');
    } finally {
      await running.api.settings({ readBackLagMs: 0 });
    }
  });
});

describe('a write that was not done', () => {
  test.each([
    ['connection reset', { kind: 'reset' }],
    ['500', { kind: 'status', status: 500 }],
    ['a page', { kind: 'html' }],
    ['an empty answer', { kind: 'empty' }],
  ])('%s: every read-back proves it absent, then it is sent again', async (_what, fault) => {
    await running.api.faults([{ ...aimed, ...fault }]);
    await expectSentAgain(await schedule());
  });

  test.each([
    [
      '429: it waits and goes again, unspent',
      { kind: 'status', status: 429, retryAfterSeconds: 1 },
      'succeeded',
      1,
    ],
    ['ok other than 1: refused', { kind: 'not-ok' }, 'failed', 1],
    ['400: refused', { kind: 'status', status: 400 }, 'failed', 1],
    ['signed out: signed in and sent', { kind: 'expired', style: '401' }, 'succeeded', 1],
  ])('%s, without a read-back', async (_what, fault, status, made) => {
    await running.api.faults([{ ...aimed, ...fault }]);
    const { id, input } = await schedule();
    const call = await endOf(id);
    expect(call).toMatchObject({ status, attempts: { made } });
    expect(call.history.some(({ outcome }) => outcome === 'in_doubt')).toBe(false);
    expect(await visitsOf(input)).toBe(status === 'succeeded' ? 1 : 0);
  });
});

describe('a write whose session expires and whose answer is lost', () => {
  const lost = { kind: 'reset', afterApply: true, times: 1 };

  /** Expires every session, and drops the refusal of the next such write. */
  async function loseRefusal(operation: string): Promise<void> {
    await running.api.expire('401');
    await running.api.faults([{ ...lost, operation, signedIn: false }]);
  }

  /** Expires every session after the write is done but before it is answered. Then drops its answer. */
  async function loseAnswerAndSession<T>(operation: string, send: () => Promise<T>): Promise<T> {
    const { api } = running;
    await api.gate(
      { ...once, operation, afterApply: true },
      { besides: [{ ...lost, operation, signedIn: true }] },
    );
    const sent = await send();
    await until(async () => expect((await api.ledger()).held).toBe(1));
    await api.expire('401');
    await api.release();
    return sent;
  }

  test('refused: proved absent after one sign-in, then sent again', async () => {
    await loseRefusal('schedule-event');
    const { logins } = await running.api.ledger();
    const sent = await schedule();
    await expectSentAgain(sent);
    expect((await running.api.call(sent.id)).history[0]).toMatchObject({ code: 'connection_lost' });
    expect((await running.api.ledger()).logins).toBe(logins + 1);
  });

  test('done: found after one sign-in, not done again', async () => {
    const { logins } = await running.api.ledger();
    await expectFound(await loseAnswerAndSession('schedule-event', schedule), 'connection_lost');
    expect((await running.api.ledger()).logins).toBe(logins + 1);
  });

  test.each([
    ['refused', 0],
    ['done', 1],
  ])('%s, without proof: it is not sent again, and a person decides', async (what, reworks) => {
    if (what === 'refused') await loseRefusal('reissue-event');
    const { id, input } =
      what === 'refused' ? await reissue() : await loseAnswerAndSession('reissue-event', reissue);
    expect(await endOf(id)).toMatchObject({ status: 'in_doubt', attempts: { made: 1 } });
    expect(await reworksOf(input)).toBe(reworks);
    expect((await admin.post(`/api/in-doubt/${id}`, { action: 'done', reason: 'seen' })).status).toBe(200);
    expect(await reworksOf(input)).toBe(reworks);
  });
});

/** A reissue that is done and whose answer is lost. It cannot be proved. */
async function reissueInDoubt(): Promise<{ id: string; input: Record<string, string> }> {
  await running.api.faults([{ ...once, operation: 'reissue-event', kind: 'reset', afterApply: true }]);
  const { id, input } = await reissue();
  expect(await endOf(id)).toMatchObject({ status: 'in_doubt' });
  expect(await reworksOf(input)).toBe(1);
  return { id, input };
}

/** A visit whose answer is lost, and that cannot be told from another visit at the read-back. */
async function scheduleInDoubt() {
  const input = nextInput();
  expect((await endOf((await schedule(input)).id)).status).toBe('succeeded');
  await running.api.faults([{ ...aimed, kind: 'reset' }]);
  const other = { ...input, start: input.start?.replace('T09', 'T08') ?? '' };
  const { id } = await schedule(other);
  const call = await endOf(id);
  expect(call).toMatchObject({ status: 'in_doubt', error: { code: 'other_booking' }, attempts: { made: 1 } });
  return { id, input: other };
}

describe('a person settles', () => {
  test('the work list shows each call, its reason and the required input, without personal data', async () => {
    const [reissue, visit] = [await reissueInDoubt(), await scheduleInDoubt()];
    const { status, body } = await admin.get('/api/in-doubt');
    expect(status).toBe(200);
    expect(body.total).toBe(2);
    expect(body.calls).toEqual([
      expect.objectContaining({ id: reissue.id, operation: 'reissue-event', needed: [] }),
      expect.objectContaining({
        id: visit.id,
        upstream: 'crossmark',
        needed: ['scheduleEventId'],
        error: expect.objectContaining({ code: 'other_booking' }),
      }),
    ]);
    const page = await admin.page('/in-doubt');
    for (const text of [reissue.id, visit.id, 'scheduleEventId', 'It was done']) expect(page).toContain(text);
    expect(JSON.stringify(body) + page).not.toContain('Jo Muster');
    expect((await running.api.upstream()).queue.inDoubt).toBe(2);
    for (const { id } of [reissue, visit])
      await admin.post(`/api/in-doubt/${id}`, { action: 'resend', reason: 'tidy up' });
    await until(async () => expect((await running.api.upstream()).queue.inDoubt).toBe(0));
  });

  test('as done: succeeds at once with the found id, also while the queue is held; waiting clients are notified', async () => {
    const { id, input } = await scheduleInDoubt();
    await admin.post('/api/upstreams/crossmark/actions', { action: 'hold', reason: 'test' });
    const waits = running.api.call(id, 20);
    const ask = (body: object) =>
      admin.post(`/api/in-doubt/${id}`, { action: 'done', reason: 'seen', ...body });
    expect((await ask({})).body).toMatchObject({ code: 'invalid', needed: ['scheduleEventId'] });
    expect((await ask({ result: { scheduleEventId: '4 5' } })).status).toBe(422);
    expect((await ask({ result: { scheduleEventId: '45', repId: '1' } })).status).toBe(422);
    expect((await ask({ reason: ' ', result: { scheduleEventId: '45' } })).status).toBe(422);
    expect((await running.api.call(id)).status).toBe('in_doubt');
    const settled = await ask({ result: { scheduleEventId: '40000777' } });
    expect(settled).toMatchObject({ status: 200, body: { id, action: 'done', status: 'succeeded' } });
    expect(await running.api.call(id)).toMatchObject({
      status: 'succeeded',
      result: { ...input, scheduleEventId: '40000777' },
      attempts: { made: 1 },
      error: null,
    });
    await waits;
    expect((await ask({ result: { scheduleEventId: '40000777' } })).status).toBe(409);
    await admin.post('/api/upstreams/crossmark/actions', { action: 'release', reason: 'test' });
    const redis = new Redis(running.stack.redisUrl);
    const audit = JSON.stringify(await redis.xrange('recloser:audit', '-', '+'));
    redis.disconnect();
    expect(audit).toContain('in doubt: done');
    expect(audit).toContain(id);
  });

  test('a reissue as done: needs no id', async () => {
    const { id, input } = await reissueInDoubt();
    const answer = await admin.post(`/api/in-doubt/${id}`, { action: 'done', reason: 'seen' });
    expect(answer.status).toBe(200);
    expect(await running.api.call(id)).toMatchObject({ status: 'succeeded', result: { accepted: true } });
    expect(await reworksOf(input)).toBe(1);
  });

  test('as not done: the same call is sent exactly once more', async () => {
    const { id, input } = await reissueInDoubt();
    const answer = await admin.post(`/api/in-doubt/${id}`, { action: 'resend', reason: 'not there' });
    expect(answer).toMatchObject({ status: 200, body: { id, action: 'resend', attempts: { made: 1 } } });
    const call = await endOf(id);
    expect(call.status).toBe('succeeded');
    expect(call.attempts.made).toBe(2);
    expect(call.history.map(({ outcome }) => outcome)).toEqual(['in_doubt', 'resent', 'done']);
    expect(await reworksOf(input)).toBe(2);
  });

  test('two people at once: one wins, the other gets 409', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { id, input } = await reissueInDoubt();
      const before = await reworksOf(input);
      const actions = ['done', 'resend', 'resend', 'done'];
      const answers = await Promise.all(
        actions.map((action) => admin.post(`/api/in-doubt/${id}`, { action, reason: 'at once' })),
      );
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409, 409]);
      const won = answers.find(({ status }) => status === 200)?.body.action;
      await until(async () => expect((await running.api.call(id)).status).toBe('succeeded'));
      expect(await reworksOf(input)).toBe(before + (won === 'resend' ? 1 : 0));
    }
  });

  test('only a person: applications get 409, and calls that are not in doubt do not change', async () => {
    const { id } = await scheduleInDoubt();
    const retried = await fetch(`${running.stack.urls.web}/v1/calls/${id}/retry`, { method: 'POST' });
    expect([retried.status, ((await retried.json()) as { code: string }).code]).toEqual([
      409,
      'call_in_doubt',
    ]);
    const done = await schedule();
    expect((await endOf(done.id)).status).toBe('succeeded');
    const ask = (call: string) => admin.post(`/api/in-doubt/${call}`, { action: 'resend', reason: 'x' });
    expect((await ask(done.id)).status).toBe(409);
    expect((await ask('crossmark-nonsense')).status).toBe(404);
    expect((await admin.post(`/api/in-doubt/${id}`, { action: 'fly', reason: 'x' })).status).toBe(422);
  });
});

describe('a write that times out', () => {
  beforeAll(async () => {
    const { stack } = running;
    await Promise.all(stack.workers.map((worker) => stack.kill(worker, 'SIGTERM')));
    await Promise.all([1, 2].map(() => stack.addWorker({ CROSSMARK_TIMEOUT_MS: '1000' })));
  });

  test('done: found, not done again', async () => {
    await running.api.faults([{ ...aimed, kind: 'hang', afterApply: true }]);
    await expectFound(await schedule(), 'timeout');
  });

  test('not done: every read-back proves it absent, then it is sent again', async () => {
    await running.api.faults([{ ...aimed, kind: 'hang' }]);
    await expectSentAgain(await schedule());
  });

  test('done after the timeout: found, not done again', async () => {
    const { api } = running;
    await api.gate(aimed, { besides: [{ kind: 'gate', operation: 'list-planning' }] });
    const sent = await schedule();
    await until(async () => {
      const write = (await api.ledger()).requests.findLast(({ operation }) => operation === aimed.operation);
      expect(write).toMatchObject({ outcome: 'client gone', applied: false });
    });
    // The write is the oldest request. No read-back has been answered yet.
    await api.release({ count: 1 });
    await until(async () => expect(await visitsOf(sent.input)).toBe(1));
    await api.faults([]);
    await expectFound(sent, 'timeout');
  });
});
