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

function answer(status: number, body: string, headers: Record<string, string> = {}): Answer {
  const contentType = headers['content-type'] ?? (body.startsWith('<') ? 'text/html' : 'application/json');
  const location = headers.location;
  return { kind: 'answer', status, headers, contentType, body, ...(location && { location }) };
}

const good = JSON.stringify(report(123456));
const loginPage = '<!doctype html><form action="/x"><input type="password" name="p"></form>';

describe('classify', () => {
  it.each<[string, Exchange, object]>([
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
      { kind: 'reject', health: 'up', code: 'other_event' },
    ],
    ['204', answer(204, ''), { kind: 'reject', health: 'up', code: 'unexpected_answer' }],
    ['404 page', answer(404, '<html>'), { kind: 'retry', health: 'down', code: 'not_own_answer' }],
    ['400', answer(400, '{}'), { kind: 'reject', health: 'up', code: 'request_refused', status: 400 }],
    ['422', answer(422, '{}'), { kind: 'reject', health: 'up', code: 'request_refused' }],
    ['good', answer(200, good), { kind: 'done', health: 'up', status: 200 }],
    ['good as text/html', answer(200, good, { 'content-type': 'text/html' }), { kind: 'done' }],
  ])('%s', (_name, exchange, expected) => {
    expect(classify(exchange, question)).toMatchObject({ kind: 'outcome', outcome: expected });
  });

  it.each<[string, Answer]>([
    ['302 to the login host', answer(302, '', { location: `${loginBaseUrl}/somewhere?x=1` })],
    ['302 to the login host itself', answer(302, '', { location: loginBaseUrl })],
    ['302 to a login path', answer(302, '', { location: '/my/Login?back=1' })],
    ['307 to the login host', answer(307, '', { location: `${loginBaseUrl}/` })],
    [
      '200 login page with the script of the bot defence',
      answer(200, `${loginPage}<script src="/captcha.js">`),
    ],
  ])('signed out: %s', (_name, exchange) => {
    expect(classify(exchange, question)).toMatchObject({ kind: 'signed_out', status: exchange.status });
  });

  it.each<[string, Answer, string]>([
    ['403 page', answer(403, '<html>Access denied</html>'), 'page'],
    ['200 page for robots', answer(200, '<html>Robot or human?</html>'), 'challenge'],
    [
      '403 with captcha',
      answer(403, '<html><div id="px-captcha"></div><input type="password"></html>'),
      'challenge',
    ],
  ])('%s', (_name, exchange, sign) => {
    expect(classify(exchange, question)).toEqual({ kind: 'signed_out', status: exchange.status, sign });
  });

  it('repeats no text of a body', () => {
    const body = JSON.stringify({
      ...report(123456),
      demoDate: 'secret words',
      itemDetails: [{ itemNbr: [] }],
    });
    const judged = JSON.stringify(classify(answer(200, body), question));
    expect(judged).toContain('demoDate');
    expect(judged).not.toContain('secret');
  });

  it('accepts an empty list of events', () => {
    const browse: Question = { ...question, operation: 'browse-events', eventId: undefined };
    expect(classify(answer(200, '[]'), browse)).toMatchObject({
      outcome: { kind: 'done', result: { rows: [] } },
    });
    expect(classify(answer(200, 'null'), browse)).toMatchObject({
      outcome: { kind: 'reject', code: 'unexpected_answer' },
    });
  });
});
