/**
 * Clears up after a start that was killed: its apps run on without it and would hold the ports.
 *
 * Always true: only processes that still run one of our apps' main files are ended; a process id alone proves nothing.
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

/** Ends what an earlier, killed start left behind. Throws {@link AlreadyRunningError} when that start still lives. */
export async function endLeftovers(notePath: string, say: (line: string) => void): Promise<void> {
  const note = readNote(notePath);
  if (!note) return;
  if (
    note.ownerPid !== process.pid &&
    isAlive(note.ownerPid) &&
    (await commandOf(note.ownerPid)).includes('start.ts')
  ) {
    throw new AlreadyRunningError(
      `Recloser already runs here (process ${note.ownerPid}). Stop it first, or set DATA_DIR to another folder.`,
    );
  }
  for (const pid of note.pids) {
    if (!isAlive(pid) || !/apps\/\w+\/src\/main\.ts/.test(await commandOf(pid))) continue;
    say(`Stopping process ${pid}, left over from a start that was killed`);
    await endProcess(pid);
  }
  forgetProcesses(notePath);
}

/** Notes which processes belong to this start. */
export function noteProcesses(notePath: string, pids: readonly number[]): void {
  mkdirSync(dirname(notePath), { recursive: true });
  writeFileSync(notePath, JSON.stringify({ ownerPid: process.pid, pids } satisfies Note));
}

/** Removes the note: everything has been stopped. */
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
