import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { endLeftovers, forgetProcesses, noteProcesses } from './leftovers.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function notePath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'leftovers-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  return join(folder, 'deeper', 'stack.json');
}

/** A process that idles and whose command line ends in `argument`. */
async function idle(argument: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)', argument], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

/** The id of a process that has ended. */
async function gonePid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '0']);
  await once(child, 'exit');
  return child.pid ?? Number.NaN;
}

test('ends the apps of a dead start, but no other program with a recorded process id', async () => {
  const path = notePath();
  const [app, other] = [await idle('apps/web/src/main.ts'), await idle('something-else')];
  const appExit = once(app, 'exit');
  noteProcesses(path, []);
  writeFileSync(
    path,
    JSON.stringify({ ownerPid: await gonePid(), pids: [app.pid, other.pid, await gonePid()] }),
  );
  const said: string[] = [];
  await endLeftovers(path, (line) => said.push(line));
  expect(await appExit).toEqual([null, 'SIGTERM']);
  expect(other.exitCode ?? other.signalCode).toBeNull();
  expect(said).toEqual([`Stopping process ${app.pid}, left over from an earlier start`]);
  expect(existsSync(path)).toBe(false);
});

test('throws while the earlier start still runs, and leaves its apps alone', async () => {
  const path = notePath();
  const [owner, app] = [await idle('tools/local-stack/src/start.ts'), await idle('apps/web/src/main.ts')];
  noteProcesses(path, []);
  writeFileSync(path, JSON.stringify({ ownerPid: owner.pid, pids: [app.pid] }));
  await expect(endLeftovers(path, () => {})).rejects.toMatchObject({ code: 'already_running' });
  expect(app.exitCode ?? app.signalCode).toBeNull();
});

test('accepts a missing record, a damaged one and its own', async () => {
  const path = notePath();
  await endLeftovers(path, () => {});
  noteProcesses(path, []);
  await endLeftovers(path, () => {});
  noteProcesses(path, []);
  writeFileSync(path, '{damaged');
  await endLeftovers(path, () => {});
  forgetProcesses(path);
  expect(existsSync(path)).toBe(false);
});
