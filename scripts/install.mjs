/**
 * Runs before npm scripts. Before `npm start` and `npm test` it installs the dependencies when they are missing or not
 * those of package-lock.json. Before the others, with the argument `check`, it installs nothing and exits with status 1.
 * Plain JavaScript for any Node from 20 on, because it runs before anything is installed.
 *
 * Always true: it compares what the two lock files say, not their times (a fresh clone has one time for all files),
 * and only one process installs at a time.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const lockPath = join(root, '.cache', 'install.lock');
const env = process.env;
const production = env.NODE_ENV === 'production';

/** The packages of a lock file, or undefined if there is no readable one. */
function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Why an install is needed, or undefined when everything is in place. */
function reasonToInstall() {
  const wanted = readPackages(join(root, 'package-lock.json'));
  // npm writes this file last, so after a broken install it is missing.
  const installed = readPackages(join(modules, '.package-lock.json'));
  if (!wanted) throw new Error('package-lock.json is missing or damaged: restore it with git');
  if (!installed) return 'dependencies are not installed yet';
  for (const [path, { version, integrity, link, optional, devOptional, peer, dev }] of Object.entries(
    wanted,
  )) {
    if (!path.includes('node_modules/')) continue;
    const have = installed[path];
    const mayBeAbsent = optional || devOptional || peer || (dev && production);
    if (!have && !mayBeAbsent) return `${path.replace(/.*node_modules\//, '')} is missing`;
    if (have && !link && (have.version !== version || have.integrity !== integrity)) {
      return `${path.replace(/.*node_modules\//, '')} is not the version of package-lock.json`;
    }
  }
  const surplus = Object.keys(installed).find((path) => path.includes('node_modules/') && !wanted[path]);
  return surplus && `${surplus.replace(/.*node_modules\//, '')} is no longer wanted`;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** True when the process that took the lock is gone without giving it back. */
function isStale() {
  try {
    const holder = Number(readFileSync(lockPath, 'utf8'));
    if (holder) return !isAlive(holder);
    return Date.now() - statSync(lockPath).mtimeMs > 10_000; // died between creating and writing it
  } catch {
    return false; // given back just now
  }
}

function tryLock() {
  mkdirSync(dirname(lockPath), { recursive: true });
  try {
    writeFileSync(lockPath, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  if (isStale()) rmSync(lockPath, { force: true });
  return false;
}

/**
 * A Node that `npm ci` does not delete while it runs: npm puts node_modules/.bin in front of the PATH, and our own
 * pinned Node lives there.
 */
function nodeOutside() {
  const names = process.platform === 'win32' ? ['node.exe'] : ['node'];
  const inside = (path) => path.split(sep).includes('node_modules');
  const onPath = (env.PATH ?? '')
    .split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)));
  const candidates = [env.npm_node_execpath, process.execPath, ...onPath];
  const found = candidates.find((path) => path && !inside(path) && existsSync(path));
  if (found) return found;
  const copy = join(root, '.cache', names[0]);
  copyFileSync(process.execPath, copy);
  chmodSync(copy, 0o755);
  return copy;
}

/** The command line of npm: the very npm that runs us, else the one beside Node, else the one on the PATH. */
function npmCommand() {
  const node = nodeOutside();
  const besideNode = [
    join(dirname(node), 'node_modules/npm/bin/npm-cli.js'),
    join(dirname(node), '../lib/node_modules/npm/bin/npm-cli.js'),
  ];
  const cli = [env.npm_execpath, ...besideNode].find(
    (path) => path?.endsWith('npm-cli.js') && existsSync(path),
  );
  return cli ? { file: node, args: [cli] } : { file: 'npm', args: [] };
}

function install() {
  const { file, args } = npmCommand();
  // `npm run … --workspace x` hands its flag down by environment; the install must be whole all the same.
  const childEnv = Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^npm_config_workspaces?$/i.test(name)),
  );
  childEnv.PATH = (env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.startsWith(modules))
    .join(delimiter);
  const include = production ? ['--omit=dev'] : ['--include=dev', '--include=optional'];
  const { status, error } = spawnSync(
    file,
    [...args, 'ci', '--no-audit', '--no-fund', '--loglevel=error', ...include],
    {
      cwd: root,
      env: childEnv,
      stdio: 'inherit',
      shell: process.platform === 'win32' && file === 'npm',
    },
  );
  if (error)
    throw new Error(
      `npm could not be started (${error.message}): install npm, then run \`npm ci\` in ${root}`,
    );
  if (status !== 0)
    throw new Error(
      `\`npm ci\` failed, see above. Is the package registry reachable? Try \`npm ci\` in ${root}`,
    );
}

async function main() {
  if (Number(process.versions.node.split('.')[0]) < 20)
    throw new Error(`Node 20 or newer is needed, this is ${process.version}`);
  let waiting = false;
  for (;;) {
    const reason = reasonToInstall();
    if (!reason) return;
    if (process.argv[2] === 'check') throw new Error(`${reason}. Run \`npm ci\` in ${root}`);
    if (tryLock()) break;
    if (!waiting)
      console.error('recloser: another npm script is installing the dependencies, waiting for it');
    waiting = true;
    await delay(200);
  }
  const release = () => rmSync(lockPath, { force: true });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
  process.on('exit', release);
  const reason = reasonToInstall();
  if (!reason) return;
  console.error(`recloser: ${reason}, running npm ci (once; it takes a minute)`);
  install();
}

main().catch((error) => {
  console.error(`recloser: ${error.message}`);
  process.exit(1);
});
