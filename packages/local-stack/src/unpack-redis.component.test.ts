import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { startEmbeddedRedis } from './embedded-redis.ts';
import { checkServer, findRedis } from './find-redis.ts';
import { runCommand } from './run-command.ts';
import { unpackRedis } from './unpack-redis.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'unpack-redis-'));
  folders.push(path);
  return path;
}

/** A PATH with every program of this machine but a Redis and Docker. */
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

const online = await canDownload();
if (!online) console.log('The package mirror is out of reach: two tests of unpack-redis are skipped');

async function canDownload(): Promise<boolean> {
  const cwd = mkdtempSync(join(tmpdir(), 'apt-try-'));
  const { status } = await runCommand('apt-get', ['download', 'redis-server'], { cwd, timeoutMs: 30_000 });
  rmSync(cwd, { recursive: true });
  return status === 0;
}

describe('unpackRedis', () => {
  test('says plainly that this is no Debian, and leaves nothing behind', async () => {
    const cacheDir = join(folder(), 'cache');
    const unpacked = await unpackRedis({ cacheDir, env: { PATH: '/nowhere' }, say: () => {}, checkServer });
    expect(unpacked).toEqual({ ok: false, problem: expect.stringContaining('no Debian or Ubuntu') });
    expect(existsSync(cacheDir)).toBe(false);
  });

  test('a mirror out of reach is told with what apt said', async () => {
    const cacheDir = folder();
    const empty = folder();
    mkdirSync(join(empty, 'lists/partial'), { recursive: true });
    mkdirSync(join(empty, 'sources'));
    writeFileSync(join(empty, 'sources.list'), 'deb http://127.0.0.1:9 bookworm main\n');
    const settings = [
      'Acquire::Retries "0"',
      `Dir::State::Lists "${empty}/lists"`,
      `Dir::Etc::sourcelist "${empty}/sources.list"`,
    ];
    writeFileSync(
      join(empty, 'apt.conf'),
      [...settings, `Dir::Etc::sourceparts "${empty}/sources"`].join(';\n').concat(';\n'),
    );
    const said: string[] = [];
    const env = { ...process.env, APT_CONFIG: join(empty, 'apt.conf') };
    const unpacked = await unpackRedis({ cacheDir, env, say: (line) => said.push(line), checkServer });
    expect(unpacked).toEqual({
      ok: false,
      problem: expect.stringMatching(/lists could not be fetched|no Debian/),
    });
    if (!unpacked.ok && unpacked.problem.includes('lists'))
      expect(said.join('\n')).toContain('no package lists');
    expect(readdirSync(cacheDir)).toEqual([]);
  }, 60_000);

  // Needs the distribution's mirror, which a developer's machine may lack; `npm start` says so there itself.
  test.runIf(online)(
    'with Redis hidden from the PATH the package is unpacked, runs, and is found again',
    async () => {
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
    },
    120_000,
  );

  test.runIf(online)(
    'missing libraries come along and are used',
    async () => {
      const cacheDir = folder();
      const options = { cacheDir, env: process.env, say: () => {}, checkServer, allLibraries: true };
      const unpacked = await unpackRedis(options);
      if (!unpacked.ok) throw new Error(unpacked.problem);
      const { output } = await runCommand('ldd', [unpacked.file], {
        env: { ...process.env, ...unpacked.env },
      });
      for (const library of ['liblzf', 'libjemalloc', 'libssl']) {
        expect(output).toMatch(new RegExp(`${library}\\S* => ${cacheDir}`));
      }
    },
    120_000,
  );
});
