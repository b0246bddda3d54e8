import { describe, expect, it } from 'vitest';
import type { Answer, Exchange } from '../http/http.ts';
import { classifyRead, classifyReissue, classifySchedule, classifyUnschedule } from './classify.ts';
import { availableRepsAnswer, planningAnswer, qualifiedRepsAnswer } from './wire.ts';

const now = Date.parse('2026-01-01T00:00:00Z');

function answer(status: number, body: unknown = '', headers: Answer['headers'] = {}): Answer {
  const location = headers.location;
  return {
    kind: 'answer',
    status,
    headers,
    contentType: 'text/html; charset="utf-8"',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(typeof location === 'string' && { location }),
  };
}

const booking = {
  repId: '123456',
  mPlanId: '31000001',
  locationId: '205001',
  start: '2025-09-30T09:00:00-04:00',
  end: '2025-09-30T15:30:00-04:00',
};
const echo = { ID: 44000001, RepID: 123456, mPlanID: 31000001, LocationID: '205001', AllDay: '0' };
const writes = {
  schedule: (exchange: Exchange) => classifySchedule(exchange, booking, now),
  unschedule: (exchange: Exchange) =>
    classifyUnschedule(exchange, { scheduleEventId: '44000001', mPlanId: '1', locationId: '2' }, now),
  reissue: (exchange: Exchange) => classifyReissue(exchange, now),
};
const read = (exchange: Exchange) => classifyRead(exchange, planningAnswer, now);

type Expected = string;

/** `kind health code` of an outcome, or its kind alone. */
function brief(outcome: { kind: string; health?: string; code?: string }): Expected {
  return [outcome.kind, outcome.health, outcome.code].filter(Boolean).join(' ');
}

/** Crossmark's own refusals, for every operation. judge-exchange.test.ts covers everything else. */
const refusals: [string, Answer, Expected][] = [
  ['400', answer(400, { message: 'bad' }), 'reject up request_refused'],
  ['404', answer(404, { error: 'not found' }), 'reject up request_refused'],
  ['ok 0', answer(200, { ok: 0, message: 'rep is busy' }), 'reject up upstream_refused'],
  ['ok 0 as text', answer(200, { ok: '0' }), 'reject up upstream_refused'],
  ['ok null', answer(200, { ok: null }), 'reject up upstream_refused'],
  ['success false', answer(200, { success: false }), 'reject up upstream_refused'],
];

describe.each(refusals)('%s', (_name, exchange, expected) => {
  it.each(Object.entries({ read, ...writes }))(`is "${expected}" for %s`, (_operation, classify) => {
    expect(brief(classify(exchange))).toBe(expected);
  });
});

it.each([
  ['/login', 'signed_out'],
  ['https://host.test/Login?next=1', 'signed_out'],
  ['/planning', 'retry down unexpected_redirect'],
])('a redirect to %s is "%s" for a read', (location, expected) => {
  expect(brief(read(answer(302, '', { location })))).toBe(expected);
});

describe('schedule-event', () => {
  it('is done if the three ids are echoed, as strings or numbers', () => {
    expect(writes.schedule(answer(200, { ok: 1, MVScheduledEvent: echo, repName: 'A Person' }))).toEqual({
      kind: 'done',
      health: 'up',
      status: 200,
      result: { scheduleEventId: '44000001', ...booking },
    });
  });

  it.each(['RepID', 'mPlanID', 'LocationID'])('is in doubt if the echoed %s differs', (field) => {
    const other = { ok: 1, MVScheduledEvent: { ...echo, [field]: 99 } };
    expect(brief(writes.schedule(answer(200, other)))).toBe('in_doubt up not_echoed');
  });

  it.each([{ ok: 1 }, { ok: 1, MVScheduledEvent: { ...echo, ID: null } }, [], {}])(
    'is in doubt for %j',
    (body) => {
      expect(brief(writes.schedule(answer(200, JSON.stringify(body))))).toBe('in_doubt up unexpected_answer');
    },
  );
});

describe('unschedule-event', () => {
  it.each([{ ok: 1 }, { ok: '1' }, { success: true }])('is done for %j', (body) => {
    expect(writes.unschedule(answer(200, body))).toMatchObject({
      kind: 'done',
      result: { scheduleEventId: '44000001' },
    });
  });

  it.each([{}, []])('is in doubt for %j', (body) => {
    expect(brief(writes.unschedule(answer(200, JSON.stringify(body))))).toBe('in_doubt up not_confirmed');
  });
});

describe('reissue-event', () => {
  it.each([{ success: true }, { id: 5 }, { success: 1, message: 'ok' }])('is done for %j', (body) => {
    expect(writes.reissue(answer(201, body))).toMatchObject({ kind: 'done', result: { accepted: true } });
  });

  it('is in doubt for a list', () => {
    expect(brief(writes.reissue(answer(200, [])))).toBe('in_doubt up unexpected_answer');
  });
});

describe('reads', () => {
  const row = {
    mPlanID: 31000001,
    storeID: '205001',
    scheduleRepID: '0',
    scheduleEventID: '',
    salesTools: [{}],
  };

  it.each([
    ['mplans', { mplans: [row], total: '1' }],
    ['records', { records: [row], total: 1 }],
    ['a list of none', { mplans: [], total: 0 }],
  ])('takes a planning list with %s', (_name, body) => {
    expect(read(answer(200, body)).kind).toBe('value');
  });

  it.each([{}, { total: 0 }, { mplans: null }, { mplans: {} }, { mplans: [{}] }, []])(
    'never takes %j for an empty list',
    (body) => {
      expect(brief(read(answer(200, JSON.stringify(body))))).toBe('reject up unexpected_answer');
    },
  );

  it.each([
    [
      'keyed by id',
      { reps: { 500: { title: 'A Person', availableHoursPerDay: '8', scheduledHours: null } } },
    ],
    [
      'a list',
      { reps: [{ repId: 500, id: '1', title: 'A Person', availableHoursPerDay: 8, visitCount: '' }] },
    ],
  ])('takes available reps %s', (_name, body) => {
    const value = classifyRead(answer(200, body), availableRepsAnswer, now);
    expect(value).toMatchObject({
      value: {
        reps: [
          { repId: '500', name: 'A Person', availableHoursPerDay: 8, scheduledHours: null, visitCount: null },
        ],
      },
    });
  });

  it('refuses a rep without an id and an answer without reps', () => {
    for (const body of [{ reps: [{ title: 'A Person' }] }, {}, { reps: null }]) {
      expect(classifyRead(answer(200, body), availableRepsAnswer, now).kind).toBe('reject');
    }
    expect(classifyRead(answer(200, { reps: [] }), availableRepsAnswer, now)).toMatchObject({
      value: { reps: [] },
    });
  });

  it('drops the offline hash of qualified reps', () => {
    const body = {
      reps: [{ ID: 500, FirstName: 'A', LastName: 'Person', Timezone: 'UTC', OfflineHash: 'f'.repeat(32) }],
    };
    expect(classifyRead(answer(200, body), qualifiedRepsAnswer, now)).toMatchObject({
      value: { reps: [{ repId: '500', firstName: 'A', lastName: 'Person', timezone: 'UTC' }] },
    });
    expect(JSON.stringify(classifyRead(answer(200, body), qualifiedRepsAnswer, now))).not.toContain('fff');
  });
});
