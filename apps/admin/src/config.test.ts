import { describe, expect, test } from 'vitest';
import { parseConfig } from './config.ts';
import { Accounts, mayAct } from './user/accounts.ts';
import { hashPassword, isPasswordHash, verifyPassword } from './user/password.ts';

const stampKey = Buffer.alloc(32, 1);

describe('configuration', () => {
  test('has defaults and, in development, no accounts', () => {
    expect(parseConfig({})).toMatchObject({ ADMIN_PORT: 3001, HOST: '127.0.0.1', accounts: [] });
  });

  test('refuses production without accounts and names the variables to set', () => {
    expect(() => parseConfig({ NODE_ENV: 'production' })).toThrow(
      /ADMIN_USERS: no account is configured: set ADMIN_PASSWORD/,
    );
  });

  test('ADMIN_PASSWORD creates one account named admin', () => {
    const { accounts } = parseConfig({ NODE_ENV: 'production', ADMIN_PASSWORD: 'long enough' });
    expect(accounts).toEqual([{ kind: 'password', name: 'admin', role: 'admin', password: 'long enough' }]);
  });

  test('ADMIN_USERS contains accounts separated by spaces', async () => {
    const hash = await hashPassword('secret word');
    const { accounts } = parseConfig({ ADMIN_USERS: `ann:viewer:${hash}  bob:admin:${hash}` });
    expect(accounts.map(({ name, role }) => [name, role])).toEqual([
      ['ann', 'viewer'],
      ['bob', 'admin'],
    ]);
  });

  test('errors name the variable without repeating a value that may be secret', async () => {
    const hash = await hashPassword('secret word');
    const bad = [
      { ADMIN_USERS: 'ann:viewer:plaintext' },
      { ADMIN_USERS: `ann:king:${hash}` },
      { ADMIN_USERS: `ann:viewer:${hash} ann:admin:${hash}` },
      { ADMIN_PASSWORD: 'short' },
      { ADMIN_PASSWORD: 'long enough', ADMIN_USERS: `ann:viewer:${hash}` },
    ];
    for (const env of bad) {
      expect(() => parseConfig(env)).toThrow(/ADMIN_/);
      expect(() => parseConfig(env)).not.toThrow(/plaintext|short$|long enough/);
    }
  });
});

describe('passwords', () => {
  test('a hash matches only its password, differs each time, and contains no colon or space', async () => {
    const [hash, other] = [await hashPassword('pässword one'), await hashPassword('pässword one')];
    expect(hash).not.toBe(other);
    expect(hash).toMatch(/^scrypt\$32768\$8\$1\$[\w-]+\$[\w-]+$/);
    expect(await verifyPassword('pässword one', hash)).toBe(true);
    expect(await verifyPassword('password one', hash)).toBe(false);
  });

  test('a hash too expensive to check is refused', () => {
    const rest = 'c2FsdHNhbHRzYWx0$a2V5a2V5a2V5a2V5a2V5a2V5';
    expect(isPasswordHash(`scrypt$32768$8$1$${rest}`)).toBe(true);
    expect(isPasswordHash(`scrypt$16777216$8$1$${rest}`)).toBe(false);
    expect(isPasswordHash(`scrypt$1000$8$1$${rest}`)).toBe(false);
    expect(isPasswordHash('scrypt$32768$8$1$$')).toBe(false);
  });
});

describe('accounts', () => {
  test('a changed password or role ends the sessions of that account', async () => {
    const open = (password: string, role: 'viewer' | 'admin') =>
      Accounts.open([{ kind: 'password', name: 'ann', role, password }], stampKey);
    const before = await (await open('first word', 'admin')).check('ann', 'first word');
    expect(before?.user).toEqual({ name: 'ann', role: 'admin' });
    const stamp = before?.stamp ?? '';
    expect((await open('first word', 'admin')).find('ann', stamp)).toEqual({ name: 'ann', role: 'admin' });
    expect((await open('other word', 'admin')).find('ann', stamp)).toBeNull();
    expect((await open('first word', 'viewer')).find('ann', stamp)).toBeNull();
    expect((await open('first word', 'admin')).find('bob', stamp)).toBeNull();
  });

  test.each([
    ['one account', [{ kind: 'password', name: 'ann', role: 'admin', password: 'a' }] as const],
    ['no account', []],
  ])('an unknown user costs one check of a full hash, like a known user: %s', async (_what, sources) => {
    const checked: [string, string][] = [];
    const accounts = await Accounts.open(sources, stampKey, async (password, hash) => {
      checked.push([password, hash.split('$').slice(0, 4).join('$')]);
      return true;
    });
    expect(await accounts.check('nobody', 'guess')).toBeNull();
    await accounts.check('ann', 'guess');
    expect(checked).toEqual(Array(2).fill(['guess', 'scrypt$32768$8$1']));
  });

  test('each role includes the weaker ones', () => {
    expect(mayAct('viewer', 'operator')).toBe(false);
    expect(mayAct('operator', 'operator')).toBe(true);
    expect(mayAct('admin', 'operator')).toBe(true);
  });
});
