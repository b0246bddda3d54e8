/**
 * Runs before npm scripts. Before `npm start` and `npm test` it installs dependencies that are missing or differ from
 * package-lock.json. Before other scripts, with the argument `check`, it exits with status 1 instead.
 *
 * Plain JavaScript for Node 20 or newer, because it runs before anything is installed. It compares the contents of the
 * lock files, because after a clone all files have the same modification time.
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

/** Returns the packages of a lock file, or undefined if it cannot be read. */
function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Returns why an install is needed, or undefined. */
function reasonToInstall() {
  const wanted = readPackages(join(root, 'package-lock.json'));
  // npm writes this file last, so it is missing after a failed install.
  const installed = readPackages(join(modules, '.package-lock.json'));
  if (!wanted)
    throw new Error('package-lock.json is missing or damaged. Run `git checkout package-lock.json`.');
  if (!installed) return 'dependencies are not installed yet';
  for (const [path, { version, integrity, link, optional, devOptional, peer, dev }] of Object.entries(
    wanted,
  )) {
    if (!path.includes('node_modules/')) continue;
    const have = installed[path];
    const mayBeAbsent = optional || devOptional || peer || (dev && production);
    if (!have && !mayBeAbsent) return `${path.replace(/.*node_modules\//, '')} is missing`;
    if (have && !link && (have.version !== version || have.integrity !== integrity)) {
      return `${path.replace(/.*node_modules\//, '')} is not the version in package-lock.json`;
    }
  }
  const surplus = Object.keys(installed).find((path) => path.includes('node_modules/') && !wanted[path]);
  return surplus && `${surplus.replace(/.*node_modules\//, '')} is no longer a dependency`;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** True if the process that took the lock exited without releasing it. */
function isStale() {
  try {
    const holder = Number(readFileSync(lockPath, 'utf8'));
    if (holder) return !isAlive(holder);
    // An empty lock file: its process was killed between creating and writing it.
    return Date.now() - statSync(lockPath).mtimeMs > 10_000;
  } catch {
    return false; // Released in the meantime.
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
 * Returns a Node that `npm ci` does not delete while it runs. npm puts node_modules/.bin first on the PATH, and our
 * pinned Node is in there.
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

/** Returns the command line of npm: the npm that runs this script, the one beside Node, or the one on the PATH. */
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
  // `npm run … --workspace x` passes its flag on in the environment. The install must cover all workspaces.
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
      `npm could not be started (${error.message}). Install npm, then run \`npm ci\` in ${root}.`,
    );
  if (status !== 0)
    throw new Error(
      `\`npm ci\` failed, see above. Check that the package registry is reachable, then run \`npm ci\` in ${root}.`,
    );
}

async function main() {
  if (Number(process.versions.node.split('.')[0]) < 20)
    throw new Error(`Node 20 or newer is required. This is ${process.version}.`);
  let waiting = false;
  for (;;) {
    const reason = reasonToInstall();
    if (!reason) return;
    if (process.argv[2] === 'check') throw new Error(`${reason}. Run \`npm ci\` in ${root}.`);
    if (tryLock()) break;
    if (!waiting)
      console.error('recloser: waiting for another npm script that is installing the dependencies');
    waiting = true;
    await delay(200);
  }
  const release = () => rmSync(lockPath, { force: true });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
  process.on('exit', release);
  const reason = reasonToInstall();
  if (!reason) return;
  console.error(`recloser: ${reason}. Running npm ci once, which takes about a minute …`);
  install();
}

main().catch((error) => {
  console.error(`recloser: ${error.message}`);
  process.exit(1);
});
