import { describe, expect, test } from 'vitest';
import {
  type CallbackHosts,
  checkCallbackUrl,
  isAllowedAddress,
  noCallbackHosts,
  parseCallbackHosts,
} from './hosts.ts';

function hosts(text: string): CallbackHosts {
  const parsed = parseCallbackHosts(text);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.value;
}

const allowed = (list: string, url: string): boolean => checkCallbackUrl(hosts(list), url).ok;

describe('the allow-list', () => {
  test.each([
    ['app.example.com', 'https://app.example.com/hook?a=1'],
    ['app.example.com', 'https://APP.example.com:8443/hook'],
    ['app.example.com', 'https://app.example.com./hook'],
    ['https://app.example.com:8443', 'https://app.example.com:8443/'],
    ['http://app:5000', 'http://app:5000/hook'],
    ['*.example.com', 'https://a.b.example.com/'],
    ['127.0.0.1', 'http://127.0.0.1:5000/'],
    ['127.0.0.1', 'http://127.1:5000/'],
    ['localhost', 'http://localhost:5000/'],
    ['[::1]:5000', 'http://[::1]:5000/'],
    ['10.0.0.5', 'https://10.0.0.5/'],
    ['a.example, b.example c.example', 'https://c.example/'],
  ])('%s takes %s', (list, url) => expect(allowed(list, url)).toBe(true));

  test.each([
    ['app.example.com', 'http://app.example.com/'],
    ['app.example.com', 'https://example.com/'],
    ['app.example.com', 'https://xapp.example.com/'],
    ['app.example.com', 'https://app.example.com.evil.example/'],
    ['app.example.com', 'https://evil.example/app.example.com'],
    ['app.example.com', 'https://app.example.com@evil.example/'],
    ['app.example.com', 'https://user:secret@app.example.com/'],
    ['app.example.com:443', 'https://app.example.com:8443/'],
    ['*.example.com', 'https://example.com/'],
    ['*.example.com', 'https://badexample.com/'],
    ['10.0.0.5', 'http://10.0.0.5/'],
    ['10.0.0.0/8', 'https://10.0.0.5/'],
    ['127.0.0.1', 'http://localhost/'],
    ['app.example.com', 'ftp://app.example.com/'],
    ['app.example.com', 'app.example.com'],
    ['app.example.com', ''],
    ['app.example.com', `https://app.example.com/${'x'.repeat(2048)}`],
  ])('%s refuses %s', (list, url) => expect(allowed(list, url)).toBe(false));

  test('is empty unless given', () => {
    expect(checkCallbackUrl(noCallbackHosts, 'https://app.example.com/').ok).toBe(false);
    expect(hosts('')).toEqual(noCallbackHosts);
  });

  test.each([
    'app.example.com/path',
    '*.com',
    '*.1.2.3.4',
    'a:99999',
    'a:0',
    'ftp://a',
    '10.0.0.0/33',
    'a..b c!',
    '[zz]',
  ])('the problem names a malformed entry by its number: %s', (entry) => {
    const parsed = parseCallbackHosts(`good.example, ${entry}`);
    expect(parsed).toEqual({ ok: false, problem: expect.stringMatching(/^entry [23] /) });
    expect(JSON.stringify(parsed)).not.toContain(entry);
  });
});

describe('addresses', () => {
  const list = hosts('app.example.com, localhost, 10.0.0.5, 10.1.0.0/16, fd00:1::/64');
  test.each(['93.184.216.34', '1.1.1.1', '2606:4700::1111', '10.1.2.3', 'fd00:1::7'])(
    '%s is allowed',
    (address) => expect(isAllowedAddress(list, 'app.example.com', address)).toBe(true),
  );

  test.each([
    '127.0.0.1',
    '0.0.0.0',
    '10.0.0.5',
    '10.2.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '192.0.2.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fd00:2::1',
    '::ffff:10.1.2.3',
    '::ffff:127.0.0.1',
    '64:ff9b::a01:203',
    '2002:a01:203::1',
    '2001:db8::1',
    '2001::1',
    'ff02::1',
    'not an address',
    '',
  ])('%s is not', (address) => expect(isAllowedAddress(list, 'app.example.com', address)).toBe(false));

  test('localhost and a listed address resolve only to themselves', () => {
    expect(isAllowedAddress(list, 'localhost', '127.0.0.1')).toBe(true);
    expect(isAllowedAddress(list, 'localhost', '::1')).toBe(true);
    expect(isAllowedAddress(list, 'localhost', '192.168.1.1')).toBe(false);
    expect(isAllowedAddress(list, '10.0.0.5', '10.0.0.5')).toBe(true);
    expect(isAllowedAddress(list, '10.0.0.5', '10.0.0.6')).toBe(false);
  });
});
