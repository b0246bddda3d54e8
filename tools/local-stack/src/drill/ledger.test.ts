import { expect, test } from 'vitest';
import type { Stack } from '../stack/stack.ts';
import type { Answer, CallView, StackApi } from '../stack/stack-api.ts';
import { readLedger } from './ledger.ts';
import { LiveView } from './live-view.ts';
import { Stage } from './stage.ts';

type Visit = Record<string, string | number>;

/**
 * Runs a drill of `count` posts on a stack in memory, which books each visit and shows each call as succeeded. Then
 * `change` breaks something, and the ledger is read.
 */
async function drill(
  { count = 3, what = 'visits' as 'visits' | 'reads' },
  change: (made: { visits: Visit[]; calls: Map<string, CallView>; requests: object[]; stage: Stage }) => void,
) {
  const visits: Visit[] = [];
  const calls = new Map<string, CallView>();
  const requests: object[] = [];
  const api = {
    async post(path: string, { input }: { input: Record<string, string> }): Promise<Answer> {
      const id = `call-${calls.size + 1}`;
      const operation = path.replace('crossmark/', '');
      const scheduleEventId = String(44_000_000 + calls.size);
      if (operation === 'schedule-event') {
        const utc = (time = '') => new Date(time).toISOString();
        const { start, end, ...rest } = input;
        visits.push({ ...rest, scheduleEventId, start: utc(start), end: utc(end), writes: 1 });
      }
      requests.push({ at: 0, operation, outcome: 'answered 200', applied: true, inFlight: 1 });
      const attempts = { made: 1, max: 8, deferrals: 0, stalls: 0 };
      calls.set(id, {
        id,
        status: 'succeeded',
        attempts,
        result: { scheduleEventId },
      } as unknown as CallView);
      return { status: 202, headers: new Headers(), body: { id } };
    },
    async call(id: string): Promise<CallView> {
      const call = calls.get(id);
      if (!call) throw new Error(`/v1/calls/${id} answered 404`);
      return call;
    },
    ledger: async () => ({ visits, requests, visitsMade: visits.length, maxInFlight: 1 }),
  } as unknown as StackApi;
  const stage = new Stage({ api, view: new LiveView(), stack: {} as Stack });
  await stage.post(count, what);
  change({ visits, calls, requests, stage });
  return await readLedger(stage, 0);
}

function showAs(calls: Map<string, CallView>, id: string, status: string): void {
  calls.set(id, { ...(calls.get(id) as CallView), status, result: null });
}

test('a drill passes when every accepted call ended and was booked once, with the requested values', async () => {
  const ledger = await drill({}, () => {});
  expect(ledger).toMatchObject({ accepted: 3, refused: 0, visits: 3, lost: 0, wrong: [] });
});

test.each<[string, Parameters<typeof drill>[1], RegExp]>([
  [
    'a call that succeeded is not booked',
    ({ visits }) => visits.pop(),
    /call-3 succeeded but booked nothing/,
  ],
  [
    'a visit is booked twice',
    ({ visits }) => visits.push({ ...(visits[0] as Visit), scheduleEventId: '45000000' }),
    /call-1 .* booked item 30000000 2 times/,
  ],
  [
    'a visit was written twice in place',
    ({ visits }) => Object.assign(visits[1] as Visit, { writes: 2 }),
    /call-2 .* with 2 writes/,
  ],
  [
    'a visit is booked for another rep',
    ({ visits }) => Object.assign(visits[0] as Visit, { repId: '999999' }),
    /call-1 .* with other values than requested/,
  ],
  [
    'a result names another visit',
    ({ visits }) => Object.assign(visits[0] as Visit, { scheduleEventId: '1' }),
    /call-1 .* as 1, but its result says 44000000/,
  ],
  [
    'a visit is booked that nobody posted',
    ({ visits }) => visits.push({ ...(visits[0] as Visit), mPlanId: '39999999' }),
    /Item 39999999 is booked, but no accepted call requested it/,
  ],
  ['a failed call is booked', ({ calls }) => showAs(calls, 'call-2', 'failed'), /call-2 \(failed\) booked/],
  ['a call has not ended', ({ calls }) => showAs(calls, 'call-2', 'retrying'), /call-2 has not ended/],
  ['the API has lost a call', ({ calls }) => calls.delete('call-2'), /call-2 cannot be read: .*404/],
  [
    'two posts returned one call',
    ({ stage }) => Object.assign(stage.accepted[1] ?? {}, { id: 'call-1' }),
    /2 posts returned the same call call-1/,
  ],
])('a drill fails when %s', async (_what, change, said) => {
  const { wrong } = await drill({}, change);
  expect(wrong.join(' ')).toMatch(said);
});

test.each([
  ['is not booked', 1, []],
  ['is booked', 0, []],
])('a drill passes when a call in doubt %s', async (_what, gone, wrong) => {
  const ledger = await drill({}, ({ calls, visits }) => {
    showAs(calls, 'call-1', 'in_doubt');
    visits.splice(0, gone);
  });
  expect(ledger.wrong).toEqual(wrong);
});

test('a call that cannot be read and a call that has not ended count as lost', async () => {
  const ledger = await drill({}, ({ calls }) => {
    calls.delete('call-1');
    showAs(calls, 'call-2', 'queued');
  });
  expect(ledger).toMatchObject({ accepted: 3, lost: 2 });
});

test('a drill fails when the upstream answered fewer reads than succeeded', async () => {
  expect((await drill({ what: 'reads' }, () => {})).wrong).toEqual([]);
  const { wrong } = await drill({ what: 'reads' }, ({ requests }) => requests.pop());
  expect(wrong).toEqual(['3 reads succeeded, but the upstream answered 2.']);
});
