/**
 * Unpacks the Debian or Ubuntu package of Redis, with the libraries that the machine lacks, into a private folder.
 * apt only downloads and dpkg-deb only unpacks: neither changes the system or needs root. If the machine has no package
 * lists, as in a new container, they are downloaded into the private folder too.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { runCommand } from '../process/run-command.ts';

export type UnpackOptions = {
  readonly cacheDir: string;
  /** The environment of apt and dpkg. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly say: (line: string) => void;
  /** Returns why a server program cannot be used, or undefined. */
  readonly checkServer: (file: string, env: Readonly<Record<string, string>>) => Promise<string | undefined>;
  /** Downloads every library, even those that the system has. For tests. */
  readonly allLibraries?: boolean;
};

/** The unpacked server, or why there is none. */
export type Unpacked =
  | { readonly ok: true; readonly file: string; readonly env: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly problem: string };

const packages = ['redis-server', 'redis-tools'];
const downloadMs = 180_000;

/** Returns the server that was unpacked earlier if it still runs. Otherwise unpacks it. */
export async function unpackRedis(options: UnpackOptions): Promise<Unpacked> {
  const root = resolve(options.cacheDir, 'root');
  if (existsSync(root)) {
    const server = await tryServer(root, options);
    if (server.ok) return server;
  }
  if (!(await has('apt-get', options)) || !(await has('dpkg-deb', options))) {
    return {
      ok: false,
      problem: 'distribution package: apt-get and dpkg-deb are missing, so this is no Debian or Ubuntu',
    };
  }
  options.say('Redis is not installed. Downloading it into a private folder (about 2 MB, once) …');
  // Assembled in a work folder and moved into place when it runs, so that two at once never see half a package.
  const work = resolve(options.cacheDir, `work-${randomUUID()}`);
  try {
    const problem = await downloadAndUnpack(work, options);
    if (problem) return { ok: false, problem: `distribution package: ${problem}` };
    const server = await tryServer(join(work, 'root'), options);
    if (!server.ok) return server;
    await putInPlace(join(work, 'root'), root, options);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return tryServer(root, options);
}

/** Keeps what another process has put in place in the meantime: it may already be in use. */
async function putInPlace(from: string, root: string, options: UnpackOptions): Promise<void> {
  const isPlaced = await rename(from, root).then(
    () => true,
    () => false,
  );
  if (isPlaced || (await tryServer(root, options)).ok) return;
  await rm(root, { recursive: true, force: true });
  await rename(from, root).catch(() => {});
}

async function has(program: string, { env }: UnpackOptions): Promise<boolean> {
  return (await runCommand(program, ['--version'], { env })).status === 0;
}

async function tryServer(root: string, { checkServer }: UnpackOptions): Promise<Unpacked> {
  const file = join(root, 'usr/bin/redis-server');
  const folders = await libraryFolders(root);
  const env: Record<string, string> = folders.length > 0 ? { LD_LIBRARY_PATH: folders.join(':') } : {};
  const problem = existsSync(file) ? await checkServer(file, env) : 'the package contains no redis-server';
  return problem ? { ok: false, problem: `distribution package: ${problem}` } : { ok: true, file, env };
}

/** `usr/lib/<architecture>-linux-gnu` and `lib/<architecture>-linux-gnu`. */
async function libraryFolders(root: string): Promise<string[]> {
  const folders: string[] = [];
  for (const base of ['usr/lib', 'lib']) {
    const names = await readdir(join(root, base)).catch((): string[] => []);
    folders.push(...names.filter((name) => name.includes('-linux-')).map((name) => join(root, base, name)));
  }
  return folders;
}

type Apt = { readonly flags: readonly string[]; readonly env: UnpackOptions['env'] };

async function downloadAndUnpack(work: string, options: UnpackOptions): Promise<string | undefined> {
  const { env, say } = options;
  const [root, debs] = [join(work, 'root'), join(work, 'debs')];
  await mkdir(debs, { recursive: true });
  let apt: Apt = { flags: [], env };
  if (!(await knowsRedis(apt))) {
    say('This machine has no package lists. Downloading them too (about 30 MB, once) …');
    apt = { flags: await privateLists(work), env };
    const update = await runCommand('apt-get', [...apt.flags, 'update'], { env, timeoutMs: downloadMs });
    if (!(await knowsRedis(apt)))
      return `the package lists could not be downloaded: ${lastLine(update.output)}`;
  }
  const problem = await fetchInto(root, debs, apt, packages);
  if (problem || (!options.allLibraries && (await tryServer(root, options)).ok)) return problem;
  return fetchInto(root, debs, apt, await libraries(apt, options));
}

async function fetchInto(
  root: string,
  debs: string,
  apt: Apt,
  names: readonly string[],
): Promise<string | undefined> {
  if (names.length === 0) return undefined;
  const before = new Set(await readdir(debs));
  const { env, flags } = apt;
  const download = await runCommand('apt-get', [...flags, 'download', ...names], {
    cwd: debs,
    env,
    timeoutMs: downloadMs,
  });
  if (download.status !== 0) return `the download failed: ${lastLine(download.output)}`;
  for (const deb of (await readdir(debs)).filter((name) => !before.has(name))) {
    const unpack = await runCommand('dpkg-deb', ['-x', join(debs, deb), root], { env, timeoutMs: 60_000 });
    if (unpack.status !== 0) return `${deb} could not be unpacked: ${lastLine(unpack.output)}`;
  }
  return undefined;
}

/** True if the package lists say where to download Redis. An installed package is not enough. */
async function knowsRedis({ flags, env }: Apt): Promise<boolean> {
  const query = await runCommand('apt-get', [...flags, 'download', '--print-uris', ...packages], { env });
  return query.status === 0;
}

/** Flags that keep apt's lists and caches in our folder. apt still reads the system's sources and keys. */
async function privateLists(work: string): Promise<string[]> {
  const [state, cache] = [join(work, 'apt/state'), join(work, 'apt/cache')];
  await mkdir(join(state, 'lists/partial'), { recursive: true });
  await mkdir(join(cache, 'archives/partial'), { recursive: true });
  const settings = {
    'Dir::State': state,
    'Dir::State::Lists': join(state, 'lists'),
    'Dir::State::status': '/var/lib/dpkg/status',
    'Dir::Cache': cache,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** The library packages that Redis depends on, directly or not, and that this machine lacks. */
async function libraries({ flags, env }: Apt, { allLibraries }: UnpackOptions): Promise<string[]> {
  const without = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map(
    (one) => `--no-${one}`,
  );
  const depends = await runCommand(
    'apt-cache',
    [...flags, 'depends', '--recurse', ...without, 'redis-tools'],
    { env },
  );
  // libc must be the one of the machine's loader. libelogind0 is the alternative to libsystemd0.
  const isWanted = (line: string) => /^(lib|lua)[a-z0-9.+-]+$/.test(line) && !/^libc6|elogind/.test(line);
  const names = depends.output.split('\n').filter(isWanted);
  if (allLibraries) return names;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders.
  const query = ['-W', '-f', '${Package} ${db:Status-Status}\n', ...names];
  const installed = new Set((await runCommand('dpkg-query', query, { env })).output.split('\n'));
  return names.filter((name) => !installed.has(`${name} installed`));
}

function lastLine(output: string): string {
  const lines = output.trim().split('\n');
  return lines.findLast((line) => line.startsWith('E:')) ?? lines.at(-1) ?? '';
}
