/** `npm run test:full`: the check of its prerequisites, and its projects. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { runCommand } from '@recloser/local-stack/process/run-command';
import { describe, expect, onTestFinished, test } from 'vitest';
// @boundaries-ignore The configuration belongs to the whole repository.
import config from '../../vitest.config.ts';
import { advice, missingNeeds } from '../full/needs.ts';

const root = join(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

/** Fake programs, each a shell script. */
const everything: Record<string, string> = {
  'redis-server': 'echo "Redis server v=7.0.0"',
  'redis-cli': '',
  chromium: '',
  prometheus: '',
  promtool: '',
  python3: '',
};

/** Creates a folder for the PATH that contains only these programs. */
function folderWith(programs: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'recloser-programs-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

const preflight = (...folders: string[]) =>
  runCommand(process.execPath, ['test/full/main.ts'], {
    cwd: root,
    env: { PATH: folders.join(delimiter) },
    timeoutMs: 60_000,
  });

describe('what the full suite needs', () => {
  test('prints nothing if nothing is missing', async () => {
    expect(await preflight(folderWith(everything))).toEqual({ status: 0, output: '' });
  });

  test('lists everything that is missing, and the one command that installs it', async () => {
    const PATH = folderWith({ 'redis-server': 'exit 1' });
    const missing = await missingNeeds({ PATH }, folderWith({}));
    for (const name of ['redis-cli', 'Chromium', 'promtool', 'Flask'])
      expect(advice(missing, true)).toContain(name);
    const command = 'apt-get install -y redis-server chromium prometheus python3-flask';
    expect(advice(missing, true).split('\n').at(-1)).toBe(`  ${command}`);
    expect(advice(missing, false).split('\n').at(-1)).toBe(`  sudo ${command}`);
  });

  test('lists only what is missing; a python3 without Flask is not enough', async () => {
    const { status, output } = await preflight(folderWith({ ...everything, python3: 'exit 1' }));
    expect(status).toBe(1);
    expect(output).toMatch(/^ {2}(sudo )?apt-get install -y python3-flask$/m);
    expect(output).not.toContain('Chromium');
  });

  test('finds a later python3 on the PATH that has Flask', async () => {
    const first = folderWith({ python3: 'exit 1' });
    expect(await preflight(first, folderWith(everything))).toEqual({ status: 0, output: '' });
  });
});

describe('npm run test:full', () => {
  const script = scripts['test:full'] ?? '';

  test('checks the machine first, and runs vitest last, so that npm appends arguments to it', () => {
    expect(script).toMatch(/^node test\/full\/main\.ts && vitest run( --project [a-z-]+)+$/);
  });

  test('runs every project that npm test does not', () => {
    const quick = ['unit', 'component', 'contract', 'main-paths'];
    const projects = config.test?.projects as { test: { name: string } }[];
    const names = projects.map(({ test: { name } }) => name).filter((name) => !quick.includes(name));
    const run = [...script.matchAll(/--project (\S+)/g)].map(([, name]) => name);
    expect(run.toSorted()).toEqual(names.toSorted());
  });
});
