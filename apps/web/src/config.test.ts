import { describe, expect, it } from 'vitest';
import { parseConfig } from './config.ts';
import { authenticate, parseApiKeys } from './http/api-keys.ts';
import { hostName, isLoopback } from './http/loopback.ts';
import { preferredWait, queryWait } from './http/prefer.ts';
import { traceHeaders } from './http/trace.ts';

// SHA-256 of "key".
const digest = '2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683';

describe('parseConfig', () => {
  it('is open on loopback in development', () => {
    expect(parseConfig({})).toMatchObject({ WEB_PORT: 3000, HOST: '127.0.0.1', apiKeys: [] });
    expect(parseConfig({ HOST: 'localhost', API_KEYS: ' ' }).apiKeys).toEqual([]);
    expect(Object.isFrozen(parseConfig({}))).toBe(true);
  });

  it('requires API keys otherwise', () => {
    expect(() => parseConfig({ NODE_ENV: 'production' })).toThrow(/API_KEYS/);
    expect(() => parseConfig({ HOST: '0.0.0.0' })).toThrow(/API_KEYS.*HOST/);
    expect(parseConfig({ HOST: '0.0.0.0', API_KEYS: `app:${digest}` }).apiKeys).toHaveLength(1);
  });

  it('does not repeat a bad key', () => {
    expect(() => parseConfig({ API_KEYS: 'app:hunter2' })).toThrow(expect.not.stringContaining('hunter2'));
  });
});

describe('API keys', () => {
  it('are parsed; malformed and duplicate entries are refused', () => {
    expect(parseApiKeys(`a:${digest}, b:${digest.toUpperCase()}`)).toMatchObject({
      ok: true,
      keys: [{ name: 'a' }, { name: 'b' }],
    });
    expect(parseApiKeys(`a:${digest},a:${digest}`)).toMatchObject({ ok: false });
    expect(parseApiKeys('a')).toMatchObject({ ok: false });
  });

  it('may have scopes, and two digests under one name', () => {
    const other = digest.replace(/^../, '00');
    const parsed = parseApiKeys(`a:${digest}:submit+read, a:${other} # being replaced\nb:${other}:operate`);
    expect(parsed).toMatchObject({
      ok: true,
      keys: [{ name: 'a', scopes: ['submit', 'read'] }, { name: 'a' }, { name: 'b', scopes: ['operate'] }],
    });
    for (const bad of ['', '+', 'read+', 'write', 'submit,read']) {
      expect(parseApiKeys(`a:${digest}:${bad}`)).toMatchObject({ ok: false });
    }
  });

  it('grant access to requests with a key', () => {
    const parsed = parseApiKeys(`a:${digest}`);
    const keys = parsed.ok ? parsed.keys : [];
    expect(authenticate(keys, 'Bearer key')).toEqual({ kind: 'ok', name: 'a' });
    expect(authenticate(keys, 'bearer key')).toEqual({ kind: 'ok', name: 'a' });
    expect(authenticate(keys, 'Bearer other')).toEqual({ kind: 'unknown' });
    expect(authenticate(keys, undefined)).toEqual({ kind: 'missing' });
    expect(authenticate([], 'Bearer key')).toEqual({ kind: 'unknown' });
  });
});

describe('loopback', () => {
  it.each(['localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]'])('%s is', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['0.0.0.0', '::', 'example.org', '127.0.0.1.example.org', ''])('%j is not', (host) => {
    expect(isLoopback(host)).toBe(false);
  });

  it('reads a Host header', () => {
    expect(hostName('localhost:3000')).toBe('localhost');
    expect(isLoopback(hostName('[::1]:3000'))).toBe(true);
    expect(hostName(undefined)).toBe('');
  });
});

describe('waits', () => {
  it.each([
    [undefined, 0],
    ['wait=5', 5],
    ['respond-async, wait = "7"; x=1', 7],
    ['wait=99999', 30],
    ['wait=-1', 0],
    ['wait=soon', 0],
  ])('Prefer %j is %i s', (header, seconds) => {
    expect(preferredWait(header)).toBe(seconds);
  });

  it('of the query must be numbers', () => {
    expect([undefined, '5', '900', 'x', '1.5', ['1', '2']].map(queryWait)).toEqual([
      0,
      5,
      30,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('traceHeaders', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const headers = (values: Record<string, string>) => ({ header: (name: string) => values[name] });

  it('passes on only well-formed headers', () => {
    expect(traceHeaders(headers({ traceparent, tracestate: 'a=1' }))).toEqual({
      traceparent,
      tracestate: 'a=1',
    });
    expect(traceHeaders(headers({ traceparent, tracestate: 'a\n1' }))).toEqual({ traceparent });
    expect(traceHeaders(headers({ traceparent: 'x', tracestate: 'a=1' }))).toBeUndefined();
  });
});
