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

test('ends apps of a start that is gone, and nothing else of the same ids', async () => {
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
  expect(said).toEqual([`Stopping process ${app.pid}, left over from a start that was killed`]);
  expect(existsSync(path)).toBe(false);
});

test('a start that still lives is an error, and its apps are left alone', async () => {
  const path = notePath();
  const [owner, app] = [await idle('tools/local-stack/src/start.ts'), await idle('apps/web/src/main.ts')];
  noteProcesses(path, []);
  writeFileSync(path, JSON.stringify({ ownerPid: owner.pid, pids: [app.pid] }));
  await expect(endLeftovers(path, () => {})).rejects.toMatchObject({ code: 'already_running' });
  expect(app.exitCode ?? app.signalCode).toBeNull();
});

test('no note, a damaged one or our own is no obstacle', async () => {
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
