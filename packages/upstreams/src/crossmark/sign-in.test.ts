import { describe, expect, it } from 'vitest';
import { type Answer, type Exchange, newCookies } from '../http/http.ts';
import { judgeSignIn } from './sign-in.ts';

function answer(status: number, body: unknown = '', headers: Answer['headers'] = {}): Answer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const location = headers.location;
  return {
    kind: 'answer',
    status,
    headers,
    contentType: 'text/html',
    body: text,
    ...(typeof location === 'string' && { location }),
  };
}

function judge(exchange: Exchange, withCookie = true): string {
  const cookies = newCookies();
  if (withCookie) cookies.setCookieSync('PHPSESSID=x', 'http://host.test/');
  const verdict = judgeSignIn(exchange, cookies, 0);
  if (verdict.kind !== 'failed') return verdict.kind;
  return `failed ${verdict.outcome.kind} ${verdict.outcome.health} ${verdict.outcome.code}`;
}

const page =
  '<html><title>Back soon</title>Authentication failed. <a href="/login">Back to the login</a></html>';
const loginPage = '<html><form><input name="UserID"><input type="password" name="Password"></form></html>';

describe('judgeSignIn', () => {
  it.each([
    ['JSON redirectUrl', answer(200, { redirectUrl: '/scheduling/' }), 'signed-in'],
    ['JSON success', answer(200, { success: true, userId: 1 }), 'signed-in'],
    ['the scheduling page', answer(200, '<html>Scheduling</html>'), 'signed-in'],
    ['a redirect into the application', answer(302, '', { location: '/scheduling/' }), 'signed-in'],
    ['the login page again', answer(200, loginPage), 'refused'],
    ['the login page again, with 401', answer(401, loginPage), 'refused'],
    ['JSON success false', answer(200, { success: false }), 'refused'],
    ['JSON redirectUrl to the login page', answer(200, { redirectUrl: '/login' }), 'refused'],
    ['401 in JSON', answer(401, { error: 'no' }), 'refused'],
    ['403 in JSON', answer(403, { error: 'no' }), 'refused'],
    ['401 page', answer(401, page), 'failed retry down sign_in_failed'],
    ['403 page', answer(403, page), 'failed retry down sign_in_failed'],
    ['404 page', answer(404, page), 'failed retry down sign_in_failed'],
    ['404 in JSON', answer(404, { error: 'no' }), 'failed retry down sign_in_failed'],
    ['another page', answer(200, page), 'failed retry down sign_in_failed'],
    [
      'a redirect to the login page',
      answer(302, '', { location: '/login?e=1' }),
      'failed retry down sign_in_failed',
    ],
    ['JSON that says neither', answer(200, { hello: 1 }), 'failed retry down sign_in_failed'],
    ['431', answer(431, page), 'failed retry down sign_in_failed'],
    ['429', answer(429), 'failed snooze unknown rate_limited'],
    ['503 with Retry-After', answer(503, '', { 'retry-after': '9' }), 'failed snooze unknown unavailable'],
    ['500', answer(500), 'failed retry down sign_in_failed'],
    ['an empty answer', answer(200), 'failed retry down sign_in_failed'],
    ['cut JSON', answer(200, '{"redirectU'), 'failed retry down sign_in_failed'],
    [
      'a refused connection',
      { kind: 'not_sent', code: 'ECONNREFUSED', message: '' },
      'failed retry down sign_in_failed',
    ],
    [
      'a timeout',
      { kind: 'no_answer', cause: 'timeout', code: 'ETIMEDOUT', message: '' },
      'failed retry down sign_in_failed',
    ],
    [
      'giving up',
      { kind: 'no_answer', cause: 'aborted', code: 'ERR_ABORTED', message: '' },
      'failed retry unknown sign_in_failed',
    ],
    [
      'no file handles here',
      { kind: 'not_sent', code: 'EMFILE', message: '' },
      'failed snooze unknown local_network',
    ],
  ] satisfies [string, Exchange, string][])('%s', (_name, exchange, expected) => {
    expect(judge(exchange)).toBe(expected);
  });

  it('is no session without the session cookie', () => {
    expect(judge(answer(200, { success: true }), false)).toBe('failed retry unknown sign_in_failed');
  });
});
