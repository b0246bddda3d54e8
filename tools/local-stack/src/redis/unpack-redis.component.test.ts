/** Uses a fake apt and dpkg, which need no network. test/tools unpacks the real package. */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { checkServer, findRedis } from './find-redis.ts';
import { unpackRedis } from './unpack-redis.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'unpack-redis-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** How this Debian differs from one where all goes well. */
type Debian = {
  readonly lists?: 'after update' | 'never';
  readonly downloadFails?: boolean;
  readonly unpackFails?: boolean;
  /** The server does not start without this library. */
  readonly library?: 'installed' | 'missing';
};

/** A Debian in a folder, with one package of a server and one of a library. Each call is a line of `calls`. */
function debian({ lists, downloadFails, unpackFails, library }: Debian = {}) {
  const bin = folder();
  const program = (name: string, lines: readonly string[]) => {
    const path = `PATH='${process.env.PATH}'`;
    const start = ['#!/bin/sh', `echo "${name} $*" >> ${bin}/calls`, '[ "$1" = --version ] && exit 0', path];
    writeFileSync(join(bin, name), [...start, ...lines].join('\n'));
    chmodSync(join(bin, name), 0o755);
  };
  if (!lists) writeFileSync(join(bin, 'lists'), '');
  const update = lists === 'never' ? 'echo "E: no mirror answers"; exit 100' : `: > ${bin}/lists; exit 0`;
  program('apt-get', [
    'while [ "$1" = -o ]; do shift 2; done',
    `if [ "$1" = update ]; then ${update}; fi`,
    `[ -e ${bin}/lists ] || { echo "E: Unable to locate package redis-server"; exit 100; }`,
    '[ "$2" = --print-uris ] && exit 0',
    ...(downloadFails ? ['echo "E: Failed to fetch redis-server"; exit 100'] : []),
    'shift',
    'for name in "$@"; do : > "$name.deb"; done',
  ]);
  const needs = library === 'missing' ? '[ -e "$LD_LIBRARY_PATH/libone.so" ] || exit 127' : '';
  writeFileSync(join(bin, 'server'), ['#!/bin/sh', needs, 'echo "Redis server v=7.0.15"'].join('\n'));
  chmodSync(join(bin, 'server'), 0o755);
  program('dpkg-deb', [
    ...(unpackFails ? ['echo "dpkg-deb: error: no Debian archive"; exit 2'] : []),
    'case "$2" in',
    `*/redis-server.deb) mkdir -p "$3/usr/bin"; cp -p ${bin}/server "$3/usr/bin/redis-server";;`,
    '*/libone.deb) mkdir -p "$3/usr/lib/any-linux-gnu"; : > "$3/usr/lib/any-linux-gnu/libone.so";;',
    'esac',
  ]);
  program('apt-cache', ["printf 'redis-tools\\n  Depends: libone\\nlibone\\nlibc6\\n'"]);
  program('dpkg-query', [library === 'missing' ? '' : 'echo "libone installed"']);
  return {
    env: { PATH: bin, REDIS_URL: '' },
    calls: () => readFileSync(join(bin, 'calls'), 'utf8'),
  };
}

/** Unpacks into a new folder; `left` is what lies there afterwards. */
async function unpack(env: { PATH: string }, more: { allLibraries?: boolean } = {}) {
  const cacheDir = join(folder(), 'cache');
  const said: string[] = [];
  const say = (line: string) => said.push(line);
  const unpacked = await unpackRedis({ cacheDir, env, say, checkServer, ...more });
  const left = existsSync(cacheDir) ? readdirSync(cacheDir) : undefined;
  return { unpacked, said: said.join('\n'), left, root: join(cacheDir, 'root') };
}

test('reports a machine that is no Debian or Ubuntu, and leaves nothing behind', async () => {
  const { unpacked, left, said } = await unpack({ PATH: '/nowhere' });
  expect(unpacked).toEqual({ ok: false, problem: expect.stringContaining('no Debian or Ubuntu') });
  expect([left, said]).toEqual([undefined, '']);
});

test('findRedis unpacks the package into its folder, says so, and finds it there again', async () => {
  const [{ env, calls }, cacheDir] = [debian(), folder()];
  const said: string[] = [];
  const find = () => findRedis({ env, cacheDir, say: (line) => said.push(line) });
  const source = await find();
  const file = join(cacheDir, 'redis/root/usr/bin/redis-server');
  expect(source).toMatchObject({ kind: 'command', file, env: {} });
  expect(said).toEqual([expect.stringContaining('private folder')]);
  expect(readdirSync(join(cacheDir, 'redis'))).toEqual(['root']);
  const before = calls();
  expect(await find()).toEqual(source);
  expect([calls(), said.length]).toEqual([before, 1]);
});

test('unpacks the package again if the unpacked server no longer runs', async () => {
  const [{ env }, cacheDir] = [debian(), folder()];
  const unpackHere = () => unpackRedis({ cacheDir, env, say: () => {}, checkServer });
  const first = await unpackHere();
  if (!first.ok) throw new Error(first.problem);
  writeFileSync(first.file, '#!/bin/sh\nexit 127\n');
  expect(await unpackHere()).toEqual(first);
  expect(await checkServer(first.file, first.env)).toBeUndefined();
});

test('two at once leave one server that runs', async () => {
  const [{ env }, cacheDir] = [debian(), folder()];
  const unpackHere = () => unpackRedis({ cacheDir, env, say: () => {}, checkServer });
  expect(await Promise.all([unpackHere(), unpackHere()])).toMatchObject([{ ok: true }, { ok: true }]);
  expect(readdirSync(cacheDir)).toEqual(['root']);
});

test('downloads missing package lists into its folder, from the same sources', async () => {
  const { env, calls } = debian({ lists: 'after update' });
  const { unpacked, said, left } = await unpack(env);
  expect(unpacked).toMatchObject({ ok: true });
  expect(said).toContain('no package lists');
  expect(calls()).toMatch(/^apt-get -o Dir::State=\S+work-[\w-]+\/apt\/state .* update$/m);
  expect(left).toEqual(['root']);
});

test('unpacks and uses a library that the machine lacks, and leaves out one that it has', async () => {
  const lacking = debian({ library: 'missing' });
  const { unpacked, root } = await unpack(lacking.env);
  const env = { LD_LIBRARY_PATH: join(root, 'usr/lib/any-linux-gnu') };
  expect(unpacked).toEqual({ ok: true, file: join(root, 'usr/bin/redis-server'), env });
  expect(lacking.calls()).toMatch(/^apt-get download libone$/m);
  const { env: complete, calls } = debian({ library: 'installed' });
  await unpack(complete);
  expect(calls()).not.toContain('libone');
});

test.each<[string, Debian, string]>([
  ['unreachable mirror', { lists: 'never' }, 'lists could not be downloaded: E: no mirror answers'],
  ['failing download', { downloadFails: true }, 'the download failed: E: Failed to fetch redis-server'],
  ['damaged package', { unpackFails: true }, 'could not be unpacked: dpkg-deb: error: no Debian archive'],
])('reports a(n) %s with its last output, and leaves nothing behind', async (_, machine, problem) => {
  const { unpacked, left } = await unpack(debian(machine).env);
  expect(unpacked).toEqual({ ok: false, problem: expect.stringContaining(problem) });
  expect(left).toEqual([]);
});
