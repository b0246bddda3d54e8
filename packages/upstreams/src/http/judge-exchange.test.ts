/** The table in docs/in-doubt.md: what each answer proves, for reads and writes of every upstream. */
import { describe, expect, it } from 'vitest';
import { crossmarkDialect } from '../crossmark/classify.ts';
import { dialectOf } from '../walmart-edr/classify.ts';
import type { Answer, Exchange } from './http.ts';
import { type Dialect, type Judged, judgeExchange } from './judge-exchange.ts';

const dialects: Readonly<Record<string, Dialect>> = {
  crossmark: crossmarkDialect,
  'walmart-edr': dialectOf({
    requestUrl: 'http://host.test/app/api',
    loginBaseUrl: 'http://login.test',
  }),
};

const json = '{"message":"no"}';
const page = '<html><title>404 Not Found</title><h1>nginx</h1></html>';
const wordyPage =
  '<html><title>Login</title>Authentication failed. <a href="/login">Back to the login</a></html>';
const loginPage = '<html><form action="/login"><input name="p" type="password"></form></html>';

function answer(status: number, more: Partial<Omit<Answer, 'kind' | 'status'>> = {}): Answer {
  const { body = '', contentType = body.startsWith('<') ? 'text/html' : '' } = more;
  return { kind: 'answer', status, headers: {}, ...more, contentType, body };
}
const notSent = (code: string): Exchange => ({ kind: 'not_sent', code, message: '' });
const noAnswer = (cause: 'timeout' | 'reset' | 'aborted', code = 'ECONNRESET'): Exchange => ({
  kind: 'no_answer',
  cause,
  code,
  message: '',
});

/** `kind health code`, with `ended` if the upstream has finished with the request; `kind sign` if signed out. */
function brief(judged: Judged): string {
  if (judged.kind === 'own') return `own ${judged.status}`;
  if (judged.kind === 'signed_out') return `signed_out ${judged.sign}`;
  const ended = judged.kind === 'in_doubt' && judged.ended ? ' ended' : '';
  const local = judged.kind === 'snooze' && judged.hold === null ? ' local' : '';
  return `${judged.kind} ${judged.health} ${judged.code}${ended}${local}`;
}

type Row = [name: string, exchange: Exchange, read: string, write: string];
const same = (name: string, exchange: Exchange, both: string): Row => [name, exchange, both, both];

const rows: Row[] = [
  // Nothing was sent.
  same('connection refused', notSent('ECONNREFUSED'), 'retry down unreachable'),
  same('connection not made in time', notSent('ETIMEDOUT'), 'retry down unreachable'),
  same('given up before sending', notSent('ERR_ABORTED'), 'retry unknown aborted'),
  same('too late to send', notSent('ERR_TOO_LATE'), 'snooze unknown too_late local'),
  ...['EMFILE', 'ENFILE', 'ENOBUFS', 'EADDRNOTAVAIL', 'ENOMEM', 'ERR_PROXY_TUNNEL'].map((code) =>
    same(`${code} here`, notSent(code), 'snooze unknown local_network local'),
  ),
  // No answer.
  ['timeout', noAnswer('timeout'), 'retry down timeout', 'in_doubt down timeout'],
  ['reset', noAnswer('reset'), 'retry down connection_lost', 'in_doubt down connection_lost'],
  ['given up after sending', noAnswer('aborted'), 'retry unknown aborted', 'in_doubt unknown aborted'],
  [
    'no buffers while sending',
    noAnswer('reset', 'ENOBUFS'),
    'snooze unknown local_network local',
    'in_doubt unknown local_network',
  ],
  // Statuses that prove that nothing was done.
  same('429', answer(429), 'snooze unknown rate_limited'),
  same('429 page', answer(429, { body: page }), 'snooze unknown rate_limited'),
  same('429 with its body cut', answer(429, { bodyLost: 'reset' }), 'snooze unknown rate_limited'),
  same('401', answer(401), 'signed_out certain'),
  same('401 page', answer(401, { body: page }), 'signed_out certain'),
  same('401 with its body cut', answer(401, { bodyLost: 'reset' }), 'signed_out certain'),
  ...[307, 308].flatMap((status) => [
    same(`${status}`, answer(status, { location: '/elsewhere' }), 'retry down unexpected_redirect'),
    same(`${status} to the login`, answer(status, { location: '/login' }), 'signed_out certain'),
  ]),
  // The API's own refusal.
  ...[400, 404, 405, 409, 410, 422].flatMap((status) => [
    same(
      `${status} in JSON`,
      answer(status, { body: json, contentType: 'application/json' }),
      `own ${status}`,
    ),
    same(
      `${status} in JSON as text/html`,
      answer(status, { body: json, contentType: 'text/html' }),
      `own ${status}`,
    ),
    same(
      `${status} as problem+json`,
      answer(status, { body: json, contentType: 'application/problem+json; charset=utf-8' }),
      `own ${status}`,
    ),
    same(
      `${status} in JSON with its body cut`,
      answer(status, { contentType: 'application/json', bodyLost: 'reset' }),
      `own ${status}`,
    ),
  ]),
  same('403 in JSON', answer(403, { body: json }), 'signed_out certain'),
  // Pages instead of the API's own answer.
  ...[400, 404, 405, 409, 410, 422].flatMap((status): Row[] =>
    [
      answer(status, { body: page }),
      answer(status, { body: wordyPage }),
      answer(status),
      answer(status, { body: 'no' }),
    ].map((exchange, index) => [
      `${status} of something else (${index})`,
      exchange,
      'retry down not_own_answer',
      'in_doubt down not_own_answer ended',
    ]),
  ),
  same('403 page', answer(403, { body: page }), 'signed_out page'),
  same('403 without a body', answer(403), 'signed_out page'),
  same('403 login page', answer(403, { body: loginPage }), 'signed_out page'),
  same('302 to the login', answer(302, { location: 'http://login.test/login?x=1' }), 'signed_out redirect'),
  ...[301, 302, 303, 304].map(
    (status): Row => [
      `${status} elsewhere`,
      answer(status, { location: '/maintenance' }),
      'retry down unexpected_redirect',
      'in_doubt down unexpected_redirect ended',
    ],
  ),
  [
    '200 login page',
    answer(200, { body: loginPage }),
    'signed_out certain',
    'in_doubt unknown login_page ended',
  ],
  ...[page, wordyPage, 'ok', '', '{"half":', '"text"', 'null', '1'].map(
    (body): Row => [
      `200 with ${body.slice(0, 20) || 'nothing'}`,
      answer(200, { body, contentType: 'text/html' }),
      'retry down unreadable_answer',
      'in_doubt down unreadable_answer',
    ],
  ),
  [
    '200 login page cut off',
    answer(200, { bodyLost: 'reset', contentType: 'text/html' }),
    'retry down connection_lost',
    'in_doubt down connection_lost',
  ],
  [
    '200 stopped in its body',
    answer(200, { bodyLost: 'timeout' }),
    'retry down timeout',
    'in_doubt down timeout',
  ],
  [
    '200 given up in its body',
    answer(200, { bodyLost: 'aborted' }),
    'retry unknown aborted',
    'in_doubt unknown aborted',
  ],
  [
    '200 too large',
    answer(200, { bodyLost: 'too_large' }),
    'reject up unexpected_answer',
    'in_doubt up unexpected_answer',
  ],
  // Server errors: a write may be done now or later.
  ...[500, 502, 503, 504, 408, 425].flatMap((status): Row[] =>
    [json, page, loginPage, ''].map((body) => [
      `${status} with ${body.slice(0, 10) || 'nothing'}`,
      answer(status, { body }),
      'retry down upstream_error',
      'in_doubt down upstream_error',
    ]),
  ),
  [
    '503 with Retry-After',
    answer(503, { headers: { 'retry-after': '30' } }),
    'snooze unknown unavailable',
    'in_doubt unknown upstream_error',
  ],
  [
    '503 with nonsense in Retry-After',
    answer(503, { headers: { 'retry-after': 'soon' } }),
    'retry down upstream_error',
    'in_doubt down upstream_error',
  ],
  // Our own cookies.
  same('431', answer(431, { body: page }), 'signed_out cookies'),
  same(
    '400 about large headers',
    answer(400, { body: '<html>Request Header Or Cookie Too Large', cookieBytes: 5_000 }),
    'signed_out cookies',
  ),
  // The API's own success.
  ...[200, 201, 202, 206].map((status) =>
    same(`${status} in JSON`, answer(status, { body: json }), `own ${status}`),
  ),
  ...[201, 202, 204].map((status) => same(`${status} without a body`, answer(status), `own ${status}`)),
  same('200 with JSON null', answer(200, { body: 'null', contentType: 'application/json' }), 'own 200'),
];

describe.each(Object.entries(dialects))('%s', (_upstream, dialect) => {
  it.each(rows)('%s', (_name, exchange, read, write) => {
    const judge = (sending: 'read' | 'write') =>
      brief(judgeExchange(exchange, { dialect, sending, nowMs: 0 }));
    expect([judge('read'), judge('write')]).toEqual([read, write]);
  });

  it('takes no text of a body as proof, with any status', () => {
    for (let status = 200; status < 600; status += 1) {
      const judge = (body: string, sending: 'read' | 'write') =>
        brief(
          judgeExchange(answer(status, { body, contentType: 'text/html' }), { dialect, sending, nowMs: 0 }),
        );
      for (const sending of ['read', 'write'] as const) {
        expect(judge(wordyPage, sending), `${status}`).toBe(judge(page, sending));
      }
    }
  });

  it('allows a write to be repeated only after proof that it was not done', () => {
    const bodies = [json, page, wordyPage, loginPage, '', '{"half":'];
    const types = ['application/json', 'application/hal+json', 'text/html', 'text/plain', ''];
    for (let status = 200; status < 600; status += 1) {
      for (const body of bodies) {
        for (const contentType of types) {
          const exchange = answer(status, { body, contentType });
          const judged = judgeExchange(exchange, { dialect, sending: 'write', nowMs: 0 });
          const repeats =
            ['retry', 'snooze'].includes(judged.kind) ||
            (judged.kind === 'signed_out' && judged.sign === 'certain');
          const proved = [401, 429, 307, 308].includes(status) || (status === 403 && body === json);
          expect(repeats, `${status} ${contentType} ${body}`).toBe(proved);
        }
      }
    }
  });
});

describe('Retry-After', () => {
  const nowMs = Date.parse('2026-01-01T00:00:00Z');
  it.each([
    ['7', 7_000],
    ['0', 1_000],
    ['31536000', 600_000],
    ['Thu, 01 Jan 2026 00:00:20 GMT', 20_000],
    ['Wed, 21 Oct 2015 07:28:00 GMT', 1_000],
    ['Fri, 01 Jan 2027 00:00:00 GMT', 600_000],
    ['tomorrow', 5_000],
    ['-3', 5_000],
  ])('%s on a 429 holds for %i ms', (header, delayMs) => {
    const exchange = answer(429, { headers: { 'retry-after': header } });
    expect(judgeExchange(exchange, { dialect: crossmarkDialect, sending: 'read', nowMs })).toMatchObject({
      hold: { kind: 'rate-limit', delayMs },
    });
  });
});
