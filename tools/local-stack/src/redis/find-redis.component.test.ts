import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { checkServer, findRedis, RedisNotFoundError } from './find-redis.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'find-redis-'));
  folders.push(path);
  return path;
}

/** A program that prints `output`; returns its path. */
function program(path: string, output: string, status = 0): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\necho "${output}"\nexit ${status}\n`);
  chmodSync(path, 0o755);
  return path;
}

const version = (number: string) => `Redis server v=${number} sha=00000000:0 malloc=libc bits=64`;

describe('findRedis', () => {
  test('REDIS_URL comes first; an empty one counts as unset', async () => {
    const file = program(join(folder(), 'redis-server'), version('7.0.15'));
    const env = { REDIS_URL: ' redis://elsewhere:6379 ', PATH: dirname(file) };
    expect(await findRedis({ env, cacheDir: folder() })).toMatchObject({
      kind: 'url',
      url: 'redis://elsewhere:6379',
    });
    expect(await findRedis({ env: { ...env, REDIS_URL: ' ' }, cacheDir: folder() })).toMatchObject({
      kind: 'command',
      file,
    });
  });

  test('then redis-server or valkey-server on the PATH, if new enough', async () => {
    const old = program(join(folder(), 'redis-server'), version('5.0.7'));
    const valkey = program(join(folder(), 'valkey-server'), 'Valkey server v=8.1.0 sha=0');
    const env = { PATH: [dirname(old), dirname(valkey)].join(':') };
    expect(await findRedis({ env, cacheDir: folder() })).toMatchObject({
      kind: 'command',
      file: valkey,
      env: {},
    });
  });

  test('then the package unpacked earlier', async () => {
    const cacheDir = folder();
    const file = program(join(cacheDir, 'redis/root/usr/bin/redis-server'), version('7.0.15'));
    mkdirSync(join(cacheDir, 'redis/root/usr/lib/x86_64-linux-gnu'), { recursive: true });
    expect(await findRedis({ env: { PATH: '/nowhere' }, cacheDir })).toMatchObject({
      kind: 'command',
      file,
      env: { LD_LIBRARY_PATH: join(cacheDir, 'redis/root/usr/lib/x86_64-linux-gnu') },
    });
  });

  test('then Docker; otherwise an error lists every way and what was tried', async () => {
    const cacheDir = folder();
    const withDocker = { PATH: dirname(program(join(folder(), 'docker'), '27.0.1')) };
    expect(await findRedis({ env: withDocker, cacheDir })).toMatchObject({
      kind: 'docker',
      image: 'redis:7',
    });
    const broken = {
      PATH: dirname(program(join(folder(), 'docker'), 'Cannot connect to the Docker daemon', 1)),
    };
    const error: unknown = await findRedis({ env: broken, cacheDir }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RedisNotFoundError);
    for (const part of [
      'REDIS_URL',
      'redis-server',
      'valkey-server',
      'Debian',
      'Docker',
      'Cannot connect to the Docker daemon',
    ]) {
      expect(String(error)).toContain(part);
    }
  });
});

describe('checkServer', () => {
  test.each([
    ['7.0.15', undefined],
    ['7.0.0', undefined],
    ['6.2.7', 'version 6.2 is too old; 7.0 or newer is required'],
  ])('%s', async (number, problem) => {
    expect(await checkServer(program(join(folder(), 'r'), version(number)), {})).toBe(problem);
  });

  test('reports why a program does not run', async () => {
    const file = program(join(folder(), 'r'), 'error while loading shared libraries: liblzf.so.1', 127);
    expect(await checkServer(file, {})).toBe(
      'does not run: error while loading shared libraries: liblzf.so.1',
    );
  });
});
