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
const loginPage =
  '<html><title>Log in</title><form action="/login/authenticate"><input type="password"></form>';
const otherPage = '<html><title>Maintenance</title><p>Back soon</p></html>';
const timeout: Exchange = { kind: 'no_answer', cause: 'timeout', code: 'ETIMEDOUT', message: '' };
const reset: Exchange = { kind: 'no_answer', cause: 'reset', code: 'ECONNRESET', message: '' };
const aborted: Exchange = { kind: 'no_answer', cause: 'aborted', code: 'ERR_ABORTED', message: '' };
const refused: Exchange = { kind: 'not_sent', code: 'ECONNREFUSED', message: '' };
const slowConnect: Exchange = { kind: 'not_sent', code: 'ETIMEDOUT', message: '' };
const gaveUp: Exchange = { kind: 'not_sent', code: 'ERR_ABORTED', message: '' };
const noFiles: Exchange = { kind: 'not_sent', code: 'EMFILE', message: '' };

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

/** Exchanges that mean the same for every operation of a sort: what a read makes of it, what a write does. */
const common: [string, Exchange, Expected, Expected][] = [
  ['connection refused', refused, 'retry down unreachable', 'retry down unreachable'],
  ['connection not made in time', slowConnect, 'retry down unreachable', 'retry down unreachable'],
  ['given up before sending', gaveUp, 'retry unknown aborted', 'retry unknown aborted'],
  ['no file handles here', noFiles, 'retry unknown local_network', 'retry unknown local_network'],
  ['timeout', timeout, 'retry down timeout', 'in_doubt down timeout'],
  ['reset', reset, 'retry down connection_lost', 'in_doubt down connection_lost'],
  ['given up after sending', aborted, 'retry unknown aborted', 'in_doubt unknown aborted'],
  ['500', answer(500, otherPage), 'retry down upstream_error', 'in_doubt down upstream_error'],
  ['502', answer(502), 'retry down upstream_error', 'in_doubt down upstream_error'],
  ['503', answer(503), 'retry down upstream_error', 'in_doubt down upstream_error'],
  [
    '503 with nonsense in Retry-After',
    answer(503, '', { 'retry-after': 'soon' }),
    'retry down upstream_error',
    'in_doubt down upstream_error',
  ],
  [
    '503 with Retry-After',
    answer(503, '', { 'retry-after': '30' }),
    'snooze unknown unavailable',
    'in_doubt down upstream_error',
  ],
  ['408', answer(408), 'retry down upstream_error', 'in_doubt down upstream_error'],
  ['425', answer(425), 'retry down upstream_error', 'in_doubt down upstream_error'],
  ['429', answer(429), 'snooze unknown rate_limited', 'snooze unknown rate_limited'],
  ['400', answer(400, { message: 'bad' }), 'reject up request_refused', 'reject up request_refused'],
  ['404', answer(404, otherPage), 'reject up request_refused', 'reject up request_refused'],
  ['401', answer(401), 'signed_out', 'signed_out'],
  ['403', answer(403, { ok: 0 }), 'signed_out', 'signed_out'],
  [
    '302 to the login page',
    answer(302, '', { location: 'https://host.test/Login?next=1' }),
    'signed_out',
    'signed_out',
  ],
  [
    '302 elsewhere',
    answer(302, '', { location: '/maintenance' }),
    'retry down unexpected_redirect',
    'in_doubt down unexpected_redirect',
  ],
  ['200 login page', answer(200, loginPage), 'signed_out', 'signed_out'],
  ['200 text about authentication', answer(200, 'Authentication required'), 'signed_out', 'signed_out'],
  [
    '200 page that sends to the login',
    answer(200, '<script>window.location="/login"</script>'),
    'signed_out',
    'signed_out',
  ],
  [
    '200 other page',
    answer(200, otherPage),
    'retry down unreadable_answer',
    'in_doubt down unreadable_answer',
  ],
  ['200 empty', answer(200), 'retry down unreadable_answer', 'in_doubt down unreadable_answer'],
  [
    '200 cut JSON',
    answer(200, '{"ok":1,"mplans":[{"mPl'),
    'retry down unreadable_answer',
    'in_doubt down unreadable_answer',
  ],
  [
    'ok 0',
    answer(200, { ok: 0, message: 'rep is busy' }),
    'reject up upstream_refused',
    'reject up upstream_refused',
  ],
  ['ok 0 as text', answer(200, { ok: '0' }), 'reject up upstream_refused', 'reject up upstream_refused'],
  ['ok null', answer(200, { ok: null }), 'reject up upstream_refused', 'reject up upstream_refused'],
  [
    'success false',
    answer(200, { success: false }),
    'reject up upstream_refused',
    'reject up upstream_refused',
  ],
];

describe.each(common)('%s', (_name, exchange, forRead, forWrite) => {
  it(`is "${forRead}" for a read`, () => expect(brief(read(exchange))).toBe(forRead));

  it.each(Object.entries(writes))(`is "${forWrite}" for %s`, (_write, classify) => {
    expect(brief(classify(exchange))).toBe(forWrite);
  });
});

describe('Retry-After', () => {
  it.each([
    ['7', 7_000],
    ['0', 1_000],
    ['86400', 600_000],
    ['Thu, 01 Jan 2026 00:00:20 GMT', 20_000],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 1_000],
    ['tomorrow', 5_000],
    ['-3', 5_000],
    [undefined, 5_000],
  ])('%s on a 429 holds for %i ms', (header, delayMs) => {
    const headers: Answer['headers'] = header === undefined ? {} : { 'retry-after': header };
    expect(read(answer(429, '', headers))).toMatchObject({ hold: { kind: 'rate-limit', delayMs } });
  });
});

describe('schedule-event', () => {
  it('is done when the three ids come back, as text or number', () => {
    expect(writes.schedule(answer(200, { ok: 1, MVScheduledEvent: echo, repName: 'A Person' }))).toEqual({
      kind: 'done',
      health: 'up',
      status: 200,
      result: { scheduleEventId: '44000001', ...booking },
    });
  });

  it.each(['RepID', 'mPlanID', 'LocationID'])('is in doubt when another %s comes back', (field) => {
    const other = { ok: 1, MVScheduledEvent: { ...echo, [field]: 99 } };
    expect(brief(writes.schedule(answer(200, other)))).toBe('in_doubt up not_echoed');
  });

  it.each([{ ok: 1 }, { ok: 1, MVScheduledEvent: { ...echo, ID: null } }, [], null, 'text', 1, {}])(
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

  it.each([{}, [], null])('is in doubt, to be read back, for %j', (body) => {
    expect(brief(writes.unschedule(answer(200, JSON.stringify(body))))).toBe('in_doubt up not_confirmed');
  });
});

describe('reissue-event', () => {
  it.each([{ success: true }, { id: 5 }, { success: 1, message: 'ok' }])('is done for %j', (body) => {
    expect(writes.reissue(answer(201, body))).toMatchObject({ kind: 'done', result: { accepted: true } });
  });

  it.each([null, 5, 'text'])('is in doubt for %j', (body) => {
    expect(brief(writes.reissue(answer(200, JSON.stringify(body))))).toBe('in_doubt up unexpected_answer');
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

  it.each([{}, { total: 0 }, { mplans: null }, { mplans: {} }, { mplans: [{}] }, [], null, 'x'])(
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

  it('takes no rep without an id and no answer without reps', () => {
    for (const body of [{ reps: [{ title: 'A Person' }] }, {}, { reps: null }]) {
      expect(classifyRead(answer(200, body), availableRepsAnswer, now).kind).toBe('reject');
    }
    expect(classifyRead(answer(200, { reps: [] }), availableRepsAnswer, now)).toMatchObject({
      value: { reps: [] },
    });
  });

  it('keeps the offline hash of qualified reps out', () => {
    const body = {
      reps: [{ ID: 500, FirstName: 'A', LastName: 'Person', Timezone: 'UTC', OfflineHash: 'f'.repeat(32) }],
    };
    expect(classifyRead(answer(200, body), qualifiedRepsAnswer, now)).toMatchObject({
      value: { reps: [{ repId: '500', firstName: 'A', lastName: 'Person', timezone: 'UTC' }] },
    });
    expect(JSON.stringify(classifyRead(answer(200, body), qualifiedRepsAnswer, now))).not.toContain('fff');
  });
});
