/**
 * Downloads and unpacks the distribution's Redis package. Needs Debian or Ubuntu with apt-get, dpkg-deb and ldd, and
 * access to the package mirror.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '@recloser/local-stack/process/run-command';
import { startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { checkServer, findRedis } from '@recloser/local-stack/redis/find-redis';
import { unpackRedis } from '@recloser/local-stack/redis/unpack-redis';
import { expect, onTestFinished, test } from 'vitest';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'unpack-redis-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Creates a PATH with every program of this machine except Redis and Docker. */
function pathWithoutRedis(): string {
  const bin = folder();
  for (const source of ['/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    for (const name of existsSync(source) ? readdirSync(source) : []) {
      if (/^(redis|valkey|docker)/.test(name) || existsSync(join(bin, name))) continue;
      symlinkSync(join(source, name), join(bin, name));
    }
  }
  return bin;
}

test('without Redis on the PATH, the package is unpacked, runs, and is found again', async () => {
  const [cacheDir, env] = [folder(), { ...process.env, REDIS_URL: '', PATH: pathWithoutRedis() }];
  const said: string[] = [];
  const source = await findRedis({ env, cacheDir, say: (line) => said.push(line) });
  if (source.kind !== 'command') throw new Error(`expected a command, not ${source.kind}`);
  expect(source.file).toBe(join(cacheDir, 'redis/root/usr/bin/redis-server'));
  expect(said.join()).toContain('private folder');
  expect(readdirSync(join(cacheDir, 'redis'))).toEqual(['root']);
  await using redis = await startEmbeddedRedis({ dataDir: folder(), source });
  expect(redis.url).toMatch(/^redis:/);
  said.length = 0;
  expect(await findRedis({ env, cacheDir, say: (line) => said.push(line) })).toEqual(source);
  expect(said).toEqual([]);
});

test('missing libraries are downloaded and used', async () => {
  const cacheDir = folder();
  const options = { cacheDir, env: process.env, say: () => {}, checkServer, allLibraries: true };
  const unpacked = await unpackRedis(options);
  if (!unpacked.ok) throw new Error(unpacked.problem);
  const { output } = await runCommand('ldd', [unpacked.file], { env: { ...process.env, ...unpacked.env } });
  for (const library of ['liblzf', 'libjemalloc', 'libssl']) {
    expect(output).toMatch(new RegExp(`${library}\\S* => ${cacheDir}`));
  }
});
