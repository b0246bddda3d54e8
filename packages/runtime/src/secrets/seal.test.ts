import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ConfigError } from '../env/env.ts';
import { createSealer, loadSessionKeys, SealError } from './seal.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'seal-'));
  folders.push(path);
  return path;
}

describe('createSealer', () => {
  const sealer = createSealer(randomBytes(32));

  test.each(['', 'text', 'ünïcode 🔌', 'x'.repeat(100_000)])('opens what it sealed', (plain) => {
    const sealed = sealer.seal(plain);
    expect(sealed).toMatch(/^s1\.[\w-]+$/);
    expect(sealer.open(sealed)).toBe(plain);
  });

  test('seals the same text differently each time', () => {
    expect(sealer.seal('a')).not.toBe(sealer.seal('a'));
  });

  test('refuses a text that is modified, cut, plain or sealed with another key', () => {
    const sealed = sealer.seal('session');
    const flipped = sealed.slice(0, 20) + (sealed[20] === 'A' ? 'B' : 'A') + sealed.slice(21);
    const foreign = createSealer(randomBytes(32)).seal('session');
    for (const broken of [
      flipped,
      sealed.slice(0, -3),
      foreign,
      'session',
      '',
      's1.',
      `s2.${sealed.slice(3)}`,
    ]) {
      expect(() => sealer.open(broken)).toThrow(SealError);
    }
    expect(() => sealer.open(foreign)).toThrow(expect.objectContaining({ code: 'seal_broken' }));
  });

  test('with several keys seals with the first and opens with all', () => {
    const [old, next] = [randomBytes(32), randomBytes(32)];
    const rotating = createSealer(next, old);
    expect(rotating.open(createSealer(old).seal('kept'))).toBe('kept');
    expect(createSealer(next).open(rotating.seal('new'))).toBe('new');
    expect(() => createSealer(old).open(rotating.seal('new'))).toThrow(SealError);
    expect(() => rotating.open(createSealer(randomBytes(32)).seal('foreign'))).toThrow(SealError);
  });

  test('requires keys of 32 bytes', () => {
    expect(() => createSealer(Buffer.alloc(16))).toThrow(RangeError);
  });
});

describe('loadSessionKeys', () => {
  test('reads base64 and hex', () => {
    const key = randomBytes(32);
    for (const format of ['base64', 'hex'] as const) {
      expect(
        loadSessionKeys({ SESSION_KEY: key.toString(format), NODE_ENV: 'production', dataDir: '/nowhere' }),
      ).toEqual([key]);
    }
  });

  test('reads several keys, the first one first, and refuses the list for one bad key', () => {
    const keys = [randomBytes(32), randomBytes(32)];
    const load = (text: string) =>
      loadSessionKeys({ SESSION_KEY: text, NODE_ENV: 'production', dataDir: '/nowhere' });
    const text = `${keys[0]?.toString('base64')}, ${keys[1]?.toString('hex')}`;
    expect(load(text)).toEqual(keys);
    for (const bad of [`${text},`, `,${text}`, `${text},c2hvcnQ=`])
      expect(() => load(bad)).toThrow(ConfigError);
  });

  test('refuses a short key without showing it, and production without one', () => {
    const short = () =>
      loadSessionKeys({ SESSION_KEY: 'c2hvcnQ=', NODE_ENV: 'development', dataDir: '/nowhere' });
    expect(short).toThrow(ConfigError);
    expect(short).not.toThrow(/c2hvcnQ/);
    expect(() => loadSessionKeys({ NODE_ENV: 'production', dataDir: '/nowhere' })).toThrow(/SESSION_KEY/);
  });

  test('in development creates one private key and keeps it', () => {
    const dataDir = join(folder(), 'deeper');
    const first = loadSessionKeys({ SESSION_KEY: '', NODE_ENV: 'development', dataDir });
    expect(first.map((key) => key.length)).toEqual([32]);
    expect(loadSessionKeys({ NODE_ENV: 'development', dataDir })).toEqual(first);
    expect(readdirSync(dataDir)).toEqual(['session-key']);
    expect(statSync(join(dataDir, 'session-key')).mode & 0o777).toBe(0o600);
  });

  test('refuses a damaged key file instead of replacing it', () => {
    const dataDir = folder();
    writeFileSync(join(dataDir, 'session-key'), 'damaged');
    expect(() => loadSessionKeys({ NODE_ENV: 'development', dataDir })).toThrow(/session-key/);
  });
});
