import { createHmac, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseCallbackSecrets } from './signature.ts';

const secret = (bytes: number): string => `whsec_${randomBytes(bytes).toString('base64')}`;

test('signs with every secret, as Standard Webhooks says', () => {
  const keys = [randomBytes(32), randomBytes(24)];
  const parsed = parseCallbackSecrets(keys.map((key) => `whsec_${key.toString('base64')}`).join(', '));
  if (!parsed.ok) throw new Error(parsed.problem);
  const expected = keys.map(
    (key) => `v1,${createHmac('sha256', key).update('id-1.1700000000.{"a":"ü"}').digest('base64')}`,
  );
  expect(parsed.signer.sign('id-1', 1_700_000_000, '{"a":"ü"}')).toEqual({
    'webhook-id': 'id-1',
    'webhook-timestamp': '1700000000',
    'webhook-signature': expected.join(' '),
  });
});

test('a signer does not expose its secrets', () => {
  const text = secret(32);
  const parsed = parseCallbackSecrets(text);
  expect(JSON.stringify(parsed)).not.toContain(text.slice(10));
});

test.each(['', ' , ', 'whsec_', 'hello', secret(23), secret(65), `x${secret(32)}`, `${secret(32)},whsec_%%`])(
  'refuses %s without repeating it',
  (text) => {
    const parsed = parseCallbackSecrets(text);
    expect(parsed.ok).toBe(false);
    if (text.trim().length > 10) expect(JSON.stringify(parsed)).not.toContain(text);
  },
);
