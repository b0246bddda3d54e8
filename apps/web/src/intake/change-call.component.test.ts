import { cancelWaiting } from '@recloser/calls/write/settle-waiting';
import { expect, inject, test } from 'vitest';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';

const redisUrl = inject('redisUrl');
const path = '/v1/calls/crossmark/schedule-event';

test('cancelling again answers the same 200 with the call', async () => {
  await using web = await startWeb({ redisUrl });
  const { id } = await callOf(web.post(path, { input: visit }));
  const first = await web.delete(`/v1/calls/${id}`);
  expect(first.status).toBe(200);
  const call = await callOf(first);
  expect(call).toMatchObject({ id, status: 'cancelled' });
  const again = await web.delete(`/v1/calls/${id}`);
  expect(again.status).toBe(200);
  expect(again.headers.get('Location')).toBe(`/v1/calls/${id}`);
  expect(await callOf(again)).toEqual(call);
});

test('a call that succeeded is neither cancelled nor retried', async () => {
  await using web = await startWeb({ redisUrl });
  web.work(async () => ({ result: {}, attempt: {} }));
  const { id } = await callOf(web.post(path, { input: visit }, { Prefer: 'wait=30' }));
  const cancelled = await web.delete(`/v1/calls/${id}`);
  expect([cancelled.status, (await problemOf(cancelled)).code]).toEqual([409, 'call_finished']);
  const retried = await web.post(`/v1/calls/${id}/retry`, undefined);
  expect([retried.status, (await problemOf(retried)).code]).toEqual([409, 'call_succeeded']);
});

test('a cancelled call can be retried, a waiting call and a call in doubt cannot', async () => {
  await using web = await startWeb({ redisUrl });
  const { redis } = web;
  const { queue, root } = web.upstream();
  const { id } = await callOf(web.post(path, { input: visit }));
  const early = await web.post(`/v1/calls/${id}/retry`, undefined);
  expect([early.status, (await problemOf(early)).code]).toEqual([409, 'call_not_finished']);
  await cancelWaiting({ redis, queue, root }, id, undefined);
  const retried = await web.post(`/v1/calls/${id}/retry`, undefined);
  expect([retried.status, (await callOf(retried)).status]).toEqual([202, 'queued']);
  await cancelWaiting({ redis, queue, root }, id, undefined);
  const job = await queue.getJob(id);
  await job?.updateData({ ...job.data, settled: { status: 'in_doubt', code: 'x', message: 'y' } });
  const doubted = await web.post(`/v1/calls/${id}/retry`, undefined);
  expect([doubted.status, (await problemOf(doubted)).code]).toEqual([409, 'call_in_doubt']);
  const deleted = await web.delete(`/v1/calls/${id}`);
  expect([deleted.status, (await problemOf(deleted)).code]).toEqual([409, 'call_finished']);
});
