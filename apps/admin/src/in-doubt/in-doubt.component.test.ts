import { newCallId } from '@recloser/calls/call/id';
import { inDoubtKey } from '@recloser/calls/call/keys';
import { noteLateAnswer } from '@recloser/calls/write/late-answers';
import { crossmark } from '@recloser/upstreams/crossmark/definition';
import { UnrecoverableError, Worker } from 'bullmq';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { postJson, startAdmin, type TestAdmin } from '../../test-kit/start-admin.ts';
import { neededFields, resultFrom } from './in-doubt-result.ts';

const redisUrl = inject('redisUrl');
const visit = {
  repId: '152879',
  mPlanId: '31234567',
  locationId: '157384',
  start: '2027-01-04T09:00:00-05:00',
  end: '2027-01-04T15:30:00-05:00',
};

/** Stores a `schedule-event` call that is in doubt. */
async function doubtful(admin: TestAdmin): Promise<{ id: string; root: string }> {
  const upstream = admin.upstreams.find(({ definition }) => definition.name === 'crossmark');
  if (!upstream) throw new Error('no crossmark');
  const { queue, root } = upstream;
  const id = newCallId('crossmark');
  const settled = { status: 'in_doubt', code: 'timeout', message: 'No answer.' };
  const options = { ifOpen: 'defer', priority: 50, maxAttempts: 8, metadata: { note: 'for <b>Jo</b>' } };
  const data = { v: 1, operation: 'schedule-event', input: visit, options, settled, requestId: 'r1' };
  const rest = { createdAt: new Date().toISOString(), deferrals: 0, trials: 0, history: [] };
  await queue.add('schedule-event', { ...data, ...rest }, { jobId: id });
  const worker = new Worker(queue.name, undefined, {
    connection: admin.redis.duplicate({ maxRetriesPerRequest: null }),
    prefix: queue.opts.prefix ?? '',
    autorun: false,
  });
  onTestFinished(() => worker.close());
  const job = await worker.getNextJob('token');
  await job?.moveToFailed(new UnrecoverableError('timeout: No answer.'), 'token', false);
  await admin.redis.zadd(inDoubtKey(root), Date.now(), id);
  return { id, root };
}

describe('calls in doubt', () => {
  test('a viewer sees calls and evidence read-only and cannot settle', async () => {
    await using admin = await startAdmin(redisUrl);
    const { id, root } = await doubtful(admin);
    const late = { at: '2027-01-04T10:00:00Z', worker: 'w1', outcome: 'done', code: null, status: 200 };
    await noteLateAnswer(admin.redis, root, { callId: id, ...late, result: { scheduleEventId: '40000007' } });
    const cookie = await admin.login('viewer');
    const listed = await (await fetch(`${admin.url}/api/in-doubt`, { headers: { cookie } })).json();
    expect(listed).toMatchObject({
      total: 1,
      calls: [{ id, input: visit, needed: ['scheduleEventId'], lateAnswers: [{ outcome: 'done' }] }],
    });
    const page = await (await fetch(`${admin.url}/in-doubt`, { headers: { cookie } })).text();
    expect(page).toContain('40000007');
    expect(page).toContain('data-call=');
    expect(page).not.toContain('data-decision');
    expect(page).not.toContain('Jo');
    const answer = await postJson(`${admin.url}/api/in-doubt/${id}`, cookie, {
      action: 'resend',
      reason: 'x',
    });
    expect(answer.status).toBe(403);
  });

  test('refuses cross-origin requests and other content types than JSON', async () => {
    await using admin = await startAdmin(redisUrl);
    const { id } = await doubtful(admin);
    const cookie = await admin.login('operator');
    const body = { action: 'resend', reason: 'x' };
    const foreign = { 'Sec-Fetch-Site': 'cross-site' };
    const url = `${admin.url}/api/in-doubt/${id}`;
    expect((await postJson(url, cookie, body, foreign)).status).toBe(403);
    expect((await postJson(url, cookie, body, { 'content-type': 'text/plain' })).status).toBe(415);
    const signedOut = await fetch(`${admin.url}/in-doubt`, { redirect: 'manual' });
    expect([signedOut.status, signedOut.headers.get('location')]).toEqual([303, '/login?next=%2Fin-doubt']);
    expect((await postJson(url, cookie, body)).status).toBe(200);
  });
});

describe('the result of a settled call', () => {
  const { operations } = crossmark;
  const schedule = operations['schedule-event'];

  test.each([
    ['schedule-event', visit, ['scheduleEventId']],
    ['unschedule-event', { scheduleEventId: '4', mPlanId: '3', locationId: '1' }, []],
    ['reissue-event', { mPlanId: '3' }, []],
  ] as const)('%s with input %j needs %j from a person', (name, input, needed) => {
    expect(neededFields(operations[name], input)).toEqual(needed);
  });

  test('is completed from the input of the call', () => {
    expect(resultFrom(schedule, visit, { scheduleEventId: '40000001' })).toEqual({
      result: { ...visit, scheduleEventId: '40000001' },
    });
    expect(resultFrom(operations['reissue-event'], {}, {})).toEqual({ result: { accepted: true } });
  });

  test.each([
    ['nothing', {}, '/result/scheduleEventId'],
    ['no id', { scheduleEventId: '' }, '/result/scheduleEventId'],
    ['markup', { scheduleEventId: '<b>' }, '/result/scheduleEventId'],
    ['a number', { scheduleEventId: 4 }, '/result/scheduleEventId'],
    ['another rep', { scheduleEventId: '4', repId: '9' }, '/result/repId'],
    ['an unknown field', { scheduleEventId: '4', more: '1' }, '/result'],
  ])('with %s is refused', (_what, given, pointer) => {
    expect(resultFrom(schedule, visit, given)).toMatchObject({ errors: [{ pointer }] });
  });
});
