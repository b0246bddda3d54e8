import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { redisAdvice } from './advice.ts';
import { redisSecurity } from './security.ts';

function pemFile(text = '-----BEGIN CERTIFICATE-----\n'): string {
  const folder = mkdtempSync(join(tmpdir(), 'recloser-pem-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'file.pem');
  writeFileSync(path, text);
  return path;
}

const tls = { REDIS_URL: 'rediss://localhost' };

test('without variables there is nothing to pass', () => {
  expect(redisSecurity(tls)).toEqual({});
});

test('reads certificates and the sentinels’ password', () => {
  const [REDIS_CA_FILE, REDIS_CERT_FILE, REDIS_KEY_FILE] = [pemFile(), pemFile(), pemFile()];
  const files = { REDIS_CA_FILE, REDIS_CERT_FILE, REDIS_KEY_FILE };
  expect(redisSecurity({ ...tls, ...files, REDIS_SENTINEL_PASSWORD: 'x' })).toMatchObject({
    tls: { ca: expect.stringContaining('BEGIN'), cert: expect.any(String), key: expect.any(String) },
    sentinelPassword: 'x',
  });
});

test.each([
  [
    'a missing file',
    { ...tls, REDIS_CA_FILE: '/nowhere.pem' },
    /REDIS_CA_FILE: .*ENOENT.*set it to a PEM file/s,
  ],
  ['a certificate without its key', { ...tls, REDIS_CERT_FILE: 'file' }, /REDIS_CERT_FILE/],
])('refuses %s', (_, config, expected) => {
  expect(() => redisSecurity(config)).toThrow(expected);
});

test('refuses a file that is not PEM, a key without its certificate, and certificates without TLS', () => {
  expect(() => redisSecurity({ ...tls, REDIS_CA_FILE: pemFile('x') })).toThrow(/is not a PEM file/);
  expect(() => redisSecurity({ ...tls, REDIS_KEY_FILE: pemFile() })).toThrow(/set both or neither/);
  expect(() => redisSecurity({ REDIS_URL: 'redis://localhost', REDIS_CA_FILE: pemFile() })).toThrow(
    /use rediss:/,
  );
});

test('advice depends on the code or the message; a clear error has none', () => {
  expect(redisAdvice(Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' }))).toMatch(
    /REDIS_CA_FILE/,
  );
  expect(redisAdvice(new Error('WRONGPASS invalid username-password pair'))).toMatch(/REDIS_URL/);
  expect(redisAdvice(new Error('connect ECONNREFUSED'))).toBeUndefined();
});
