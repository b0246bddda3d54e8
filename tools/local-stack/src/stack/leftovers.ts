/**
 * Cleans up after an `npm start` that was killed: its apps keep running and hold the ports. Only processes that run the
 * main file of one of our apps are ended, because process ids are reused.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { runCommand } from '../process/run-command.ts';
import { isAlive } from '../redis/redis-lease.ts';

type Note = { readonly ownerPid: number; readonly pids: readonly number[] };

/** Another `npm start` runs with this data folder. */
export class AlreadyRunningError extends Error {
  readonly code = 'already_running';
  override readonly name = 'AlreadyRunningError';
}

/** Ends the processes of an earlier start. Throws {@link AlreadyRunningError} if that start still runs. */
export async function endLeftovers(notePath: string, say: (line: string) => void): Promise<void> {
  const note = readNote(notePath);
  if (!note) return;
  if (
    note.ownerPid !== process.pid &&
    isAlive(note.ownerPid) &&
    (await commandOf(note.ownerPid)).includes('start.ts')
  ) {
    throw new AlreadyRunningError(
      `Recloser is already running (process ${note.ownerPid}). Stop it, or set DATA_DIR to another folder.`,
    );
  }
  for (const pid of note.pids) {
    if (!isAlive(pid) || !/apps\/\w+\/src\/main\.ts/.test(await commandOf(pid))) continue;
    say(`Stopping process ${pid}, left over from an earlier start`);
    await endProcess(pid);
  }
  forgetProcesses(notePath);
}

/** Records the processes of this start. */
export function noteProcesses(notePath: string, pids: readonly number[]): void {
  mkdirSync(dirname(notePath), { recursive: true });
  writeFileSync(notePath, JSON.stringify({ ownerPid: process.pid, pids } satisfies Note));
}

/** Deletes the record once everything has stopped. */
export function forgetProcesses(notePath: string): void {
  rmSync(notePath, { force: true });
}

function readNote(path: string): Note | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Note;
  } catch {
    return undefined;
  }
}

async function commandOf(pid: number): Promise<string> {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return (await runCommand('ps', ['-o', 'command=', '-p', String(pid)])).output; // macOS has no /proc
  }
}

async function endProcess(pid: number): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', 25_000],
    ['SIGKILL', 5000],
  ] as const) {
    process.kill(pid, signal);
    const deadline = Date.now() + waitMs;
    while (isAlive(pid) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
    if (!isAlive(pid)) return;
  }
}
