import { describe, expect, it } from 'vitest';
import { report } from '../../test-kit/walmart-edr-server.ts';
import type { Answer, Exchange } from '../http/http.ts';
import { classify, type Question } from './classify.ts';

const loginBaseUrl = 'http://127.0.0.1:3002/walmart-edr-login';
const nowMs = Date.parse('2026-01-15T12:00:00Z');
const question: Question = {
  operation: 'get-report',
  eventId: '123456',
  requestUrl: 'http://127.0.0.1:3002/walmart-edr/EventManagement/api/edrReport',
  loginBaseUrl,
  nowMs,
};

function answer(
  status: number,
  body: string,
  headers: Record<string, string> = {},
  more: Partial<Answer> = {},
): Answer {
  const contentType = headers['content-type'] ?? (body.startsWith('<') ? 'text/html' : 'application/json');
  const location = headers.location;
  return { kind: 'answer', status, headers, contentType, body, ...(location && { location }), ...more };
}

const good = JSON.stringify(report(123456));
const loginPage = '<!doctype html><form action="/x"><input type="password" name="p"></form>';

describe('classify', () => {
  it.each<[string, Exchange, object]>([
    [
      'no connection',
      { kind: 'not_sent', code: 'ECONNREFUSED', message: 'm' },
      { kind: 'retry', health: 'down', code: 'network_error' },
    ],
    [
      'connecting timed out',
      { kind: 'not_sent', code: 'ETIMEDOUT', message: 'm' },
      { kind: 'retry', health: 'down', code: 'timeout' },
    ],
    [
      'given up before sending',
      { kind: 'not_sent', code: 'ERR_ABORTED', message: 'm' },
      { kind: 'retry', health: 'unknown', code: 'aborted' },
    ],
    [
      'timed out',
      { kind: 'no_answer', cause: 'timeout', code: 'ETIMEDOUT', message: 'm' },
      { kind: 'retry', health: 'down', code: 'timeout' },
    ],
    [
      'reset',
      { kind: 'no_answer', cause: 'reset', code: 'ECONNRESET', message: 'm' },
      { kind: 'retry', health: 'down', code: 'network_error' },
    ],
    [
      'given up',
      { kind: 'no_answer', cause: 'aborted', code: 'ERR_ABORTED', message: 'm' },
      { kind: 'retry', health: 'unknown', code: 'aborted' },
    ],
    ['500', answer(500, '{}'), { kind: 'retry', health: 'down', code: 'upstream_error', status: 500 }],
    ['502 page', answer(502, '<html>'), { kind: 'retry', health: 'down', code: 'upstream_error' }],
    ['503', answer(503, ''), { kind: 'retry', health: 'down', code: 'upstream_error' }],
    ['408', answer(408, ''), { kind: 'retry', health: 'down' }],
    ['425', answer(425, ''), { kind: 'retry', health: 'down' }],
    ['empty 200', answer(200, ''), { kind: 'retry', health: 'down', code: 'empty_answer' }],
    ['blank 200', answer(200, ' \n'), { kind: 'retry', health: 'down', code: 'empty_answer' }],
    ['204', answer(204, ''), { kind: 'retry', health: 'down', code: 'empty_answer' }],
    [
      'cut JSON',
      answer(200, good.slice(0, 80)),
      { kind: 'retry', health: 'down', code: 'unreadable_answer' },
    ],
    [
      'some page',
      answer(200, '<html>Maintenance</html>'),
      { kind: 'retry', health: 'down', code: 'html_answer' },
    ],
    [
      'redirect elsewhere',
      answer(302, '', { location: '/maintenance' }),
      { kind: 'retry', health: 'down', code: 'unexpected_redirect' },
    ],
    ['redirect to nowhere', answer(302, ''), { kind: 'retry', health: 'down', code: 'unexpected_redirect' }],
    ['404', answer(404, '{}'), { kind: 'reject', health: 'up', code: 'not_found', status: 404 }],
    ['null', answer(200, 'null'), { kind: 'reject', health: 'up', code: 'not_found' }],
    ['{}', answer(200, '{}'), { kind: 'reject', health: 'up', code: 'not_found' }],
    ['[]', answer(200, '[]'), { kind: 'reject', health: 'up', code: 'not_found' }],
    ['no id', answer(200, '{"demoId":null}'), { kind: 'reject', health: 'up', code: 'not_found' }],
    [
      'not found in words',
      answer(200, '{"message":"Event not found"}'),
      { kind: 'reject', health: 'up', code: 'not_found' },
    ],
    [
      'other form',
      answer(200, '{"message":"hello"}'),
      { kind: 'reject', health: 'up', code: 'unexpected_answer' },
    ],
    [
      'another event',
      answer(200, JSON.stringify(report(654321))),
      { kind: 'reject', health: 'up', code: 'unexpected_answer' },
    ],
    [
      'too large',
      answer(200, '', {}, { truncated: true }),
      { kind: 'reject', health: 'up', code: 'unexpected_answer' },
    ],
    ['400', answer(400, '{}'), { kind: 'reject', health: 'up', code: 'request_refused', status: 400 }],
    ['422', answer(422, '{}'), { kind: 'reject', health: 'up', code: 'request_refused' }],
    ['good', answer(200, good), { kind: 'done', health: 'up', status: 200 }],
    ['good as text/html', answer(200, good, { 'content-type': 'text/html' }), { kind: 'done' }],
  ])('%s', (_name, exchange, expected) => {
    expect(classify(exchange, question)).toMatchObject({ kind: 'outcome', outcome: expected });
  });

  it.each<[string, Answer]>([
    ['401', answer(401, '{}')],
    ['401 page', answer(401, '<html>')],
    ['403 JSON', answer(403, '{"message":"no"}')],
    ['403 without body', answer(403, '')],
    ['403 login page', answer(403, loginPage)],
    ['302 to the login host', answer(302, '', { location: `${loginBaseUrl}/somewhere?x=1` })],
    ['302 to the login host itself', answer(302, '', { location: loginBaseUrl })],
    ['302 to a login path', answer(302, '', { location: '/my/Login?back=1' })],
    ['307 to the login host', answer(307, '', { location: `${loginBaseUrl}/` })],
    ['200 login page', answer(200, loginPage)],
    [
      '200 login page with the script of the bot defence',
      answer(200, `${loginPage}<script src="/captcha.js">`),
    ],
    ['403 without body, as html', answer(403, '', { 'content-type': 'text/html' })],
    ['200 page titled so', answer(200, '<html><title>Retail Link Log In</title></html>')],
  ])('signed out: %s', (_name, exchange) => {
    expect(classify(exchange, question)).toEqual({ kind: 'signed_out', status: exchange.status });
  });

  it.each<[string, Answer]>([
    ['403 page', answer(403, '<html>Access denied</html>')],
    ['200 page for robots', answer(200, '<html>Robot or human?</html>')],
    ['403 with captcha', answer(403, '<html><div id="px-captcha"></div><input type="password"></html>')],
  ])('challenged: %s', (_name, exchange) => {
    expect(classify(exchange, question)).toEqual({ kind: 'challenged', status: exchange.status });
  });

  it.each<[string, Answer, number, 'up' | 'unknown']>([
    ['429 without', answer(429, ''), 5_000, 'up'],
    ['429 with nonsense', answer(429, '', { 'retry-after': 'soon' }), 5_000, 'up'],
    ['429 in seconds', answer(429, '', { 'retry-after': '30' }), 30_000, 'up'],
    ['429 at once', answer(429, '', { 'retry-after': '0' }), 1_000, 'up'],
    ['429 for a day', answer(429, '', { 'retry-after': '86400' }), 600_000, 'up'],
    ['429 at a date', answer(429, '', { 'retry-after': 'Thu, 15 Jan 2026 12:01:00 GMT' }), 60_000, 'up'],
    ['429 in the past', answer(429, '', { 'retry-after': 'Thu, 15 Jan 2026 11:00:00 GMT' }), 1_000, 'up'],
    ['503 in seconds', answer(503, '', { 'retry-after': '7' }), 7_000, 'unknown'],
  ])('come back later: %s', (_name, exchange, delayMs, health) => {
    expect(classify(exchange, question)).toMatchObject({
      kind: 'outcome',
      outcome: { kind: 'snooze', health, code: 'rate_limited', hold: { kind: 'rate-limit', delayMs } },
    });
  });

  it('never repeats what a body said', () => {
    const body = JSON.stringify({
      ...report(123456),
      demoDate: 'secret words',
      itemDetails: [{ itemNbr: [] }],
    });
    const judged = JSON.stringify(classify(answer(200, body), question));
    expect(judged).toContain('demoDate');
    expect(judged).not.toContain('secret');
  });

  it('takes an empty list of events for what it is', () => {
    const browse: Question = { ...question, operation: 'browse-events', eventId: undefined };
    expect(classify(answer(200, '[]'), browse)).toMatchObject({
      outcome: { kind: 'done', result: { rows: [] } },
    });
    expect(classify(answer(200, 'null'), browse)).toMatchObject({
      outcome: { kind: 'reject', code: 'unexpected_answer' },
    });
  });
});
