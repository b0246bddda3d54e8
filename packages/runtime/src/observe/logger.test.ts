import { Agent } from 'node:http';
import { describe, expect, test } from 'vitest';
import { createLogger, type Logger } from './logger.ts';

function recorded(): { log: Logger; text: () => string; lines: () => Record<string, unknown>[] } {
  const written: string[] = [];
  const log = createLogger({
    name: 'test',
    level: 'trace',
    destination: { write: (line) => void written.push(line) },
  });
  return {
    log,
    text: () => written.join(''),
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe('createLogger', () => {
  test('writes one JSON line with name, level as a word and an ISO time', () => {
    const { log, lines } = recorded();
    log.info({ upstream: 'crossmark', attempts: 2 }, 'call settled');
    expect(lines()).toMatchObject([
      { name: 'test', level: 'info', upstream: 'crossmark', attempts: 2, msg: 'call settled' },
    ]);
    expect(lines()[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  });

  test('removes secrets and personal data by key, at any depth and in any spelling', () => {
    const { log, text } = recorded();
    const hidden = {
      password: 'xsecret',
      Password: 'xsecret',
      UserID: 'xsecret',
      authorization: 'xsecret',
      cookie: 'xsecret',
      'set-cookie': ['xsecret'],
      setCookie: 'xsecret',
      token: 'xsecret',
      credid: 'xsecret',
      PHPSESSID: 'xsecret',
      title: 'xsecret',
      lastName: 'xsecret',
      FirstName: 'xsecret',
      nameSort: 'xsecret',
      repName: 'xsecret',
      reps: { 1: 'xsecret' },
      staffedReps: 'xsecret',
      employeeId: 'xsecret',
      OfflineHash: 'xsecret',
      email: 'xsecret',
      phone: 'xsecret',
      salesToolURL: 'xsecret',
      body: 'xsecret',
      input: 'xsecret',
      code: 123456,
      'auth-token': 'xsecret',
      accessCode: 'xsecret',
      lastChangeUserid: 'xsecret',
    };
    log.info({ a: { b: { c: [{ d: { e: hidden } }] } }, ...hidden }, 'deep');
    log.child({ token: 'xsecret', upstream: 'crossmark' }).info('child');
    log.info('formatted %o and %s', hidden, 'Bearer xsecret.abc');
    expect(text()).not.toContain('xsecret');
    expect(text()).not.toContain('123456');
    expect(text()).toContain('crossmark');
    expect(text()).toContain('"a":{"b":{"c":[{"d":{"e":{"password":"[removed]"');
  });

  test('keeps our stable codes, and removes a text-message code', () => {
    const { log, lines } = recorded();
    log.info({ code: 'upstream_timeout', inner: { code: '482913' } }, 'codes');
    expect(lines()).toMatchObject([{ code: 'upstream_timeout', inner: { code: '[removed]' } }]);
  });

  test('removes secrets by pattern from messages and strings', () => {
    const { log, text } = recorded();
    log.warn(
      { url: 'redis://user:xsecret@host:6379', list: ['PHPSESSID=xsecret; path=/'] },
      'Authorization: Bearer xsecret',
    );
    log.warn(
      'token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.xsecret and https://s3.example/a.pdf?X-Amz-Signature=xsecret',
    );
    expect(text()).not.toContain('xsecret');
    expect(text()).toContain('host:6379');
  });

  test('an error keeps type, message, code, stack and cause, and nothing that a library added', () => {
    const { log, text, lines } = recorded();
    class RequestError extends Error {
      readonly code = 'ECONNRESET';
      options = {
        headers: { authorization: 'xsecret' },
        form: { Password: 'xsecret' },
        url: 'https://u:xsecret@h',
      };
      response = { body: 'xsecret', agent: new Agent() };
    }
    const error = new RequestError('socket hang up', { cause: new Error('Bearer xsecret') });
    log.error(error);
    log.error({ err: error }, 'with key err');
    log.error({ reason: error, nested: { errors: [error] } }, 'under other keys');
    log.error({ agent: new Agent(), map: new Map([['a', 'xsecret']]) }, 'instances are not opened');
    expect(text()).not.toContain('xsecret');
    for (const line of lines().slice(0, 2)) {
      expect(Object.keys(line.err as object).sort()).toEqual(['cause', 'code', 'message', 'stack', 'type']);
      expect(line.err).toMatchObject({ type: 'RequestError', message: 'socket hang up', code: 'ECONNRESET' });
    }
    expect(lines()[0]?.msg).toBe('socket hang up');
    expect(lines()[2]).toMatchObject({ reason: { code: 'ECONNRESET' } });
    expect(lines()[3]).toMatchObject({ agent: '[Agent]', map: '[Map]' });
  });

  test('removes a secret from an error message that becomes the message of the line', () => {
    const { log, text } = recorded();
    log.error(new Error('GET https://user:xsecret@host failed'));
    log.error({ err: new Error('PHPSESSID=xsecret') });
    expect(text()).not.toContain('xsecret');
  });

  test('survives cycles and very large lists', () => {
    const { log, text } = recorded();
    const cycle: Record<string, unknown> = { list: Array.from({ length: 5000 }, (_, index) => index) };
    cycle.self = cycle;
    log.info(cycle, 'cycle');
    expect(text()).toContain('[too deep]');
    expect(text()).toContain('4900 more');
  });
});
