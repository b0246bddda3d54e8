/**
 * A child process whose output is collected line by line. It runs outside our process group: Ctrl-C reaches only us, so
 * that we can stop children in order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { isInfo } from './pretty-line.ts';

/** How a process ended. */
export type ChildExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type ChildOptions = {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onLine?: (name: string, line: string) => void;
  /** Called once if the child exits without `stop` or a terminating `signal`. */
  readonly onUnexpectedExit?: (child: ChildHandle, exit: ChildExit) => void;
};

/** A child process, running or exited. */
export type ChildHandle = {
  readonly name: string;
  readonly pid: number | undefined;
  /** The last 20,000 lines of stdout and stderr. */
  readonly lines: readonly string[];
  /** Resolves when the process has exited and all its output has been read. */
  readonly exited: Promise<ChildExit>;
  readonly hasExited: boolean;
  /** Sends a signal. An exit that the signal causes is expected. */
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGTERM, and SIGKILL after `deadlineMs`. Idempotent. */
  stop(deadlineMs: number): Promise<ChildExit>;
};

const keptLines = 20_000;

export function startChild(options: ChildOptions): ChildHandle {
  const { name, file, args, cwd, env } = options;
  const child = spawn(file, [...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const lines: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      if (lines.length > keptLines * 1.1) lines.splice(0, lines.length - keptLines);
      options.onLine?.(name, line);
    });
  }
  let expected = false;
  const exited = whenClosed(child, lines);
  const handle: ChildHandle = {
    name,
    pid: child.pid,
    lines,
    exited,
    get hasExited() {
      return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    },
    signal(signal) {
      expected ||= !['SIGSTOP', 'SIGCONT', 'SIGUSR1', 'SIGUSR2', 'SIGHUP'].includes(signal);
      child.kill(signal);
    },
    async stop(deadlineMs) {
      expected = true;
      child.kill('SIGTERM');
      child.kill('SIGCONT'); // A stopped process cannot handle SIGTERM.
      const deadline = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
      const exit = await exited;
      clearTimeout(deadline);
      return exit;
    },
  };
  void exited.then((exit) => expected || options.onUnexpectedExit?.(handle, exit));
  return handle;
}

function whenClosed(child: ChildProcess, lines: string[]): Promise<ChildExit> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      lines.push(error.message);
      if (child.pid === undefined) resolve({ code: 1, signal: null });
    });
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

/** Describes an unexpected exit, with the last five lines of output above level `info`. */
export function describeExit({ name, lines }: ChildHandle, { code, signal }: ChildExit): string {
  const lastLines = lines
    .filter((line) => !isInfo(line))
    .slice(-5)
    .map((line) => `\n    ${line}`);
  return `${name} exited unexpectedly (${signal ?? `exit status ${code}`})${lastLines.join('')}`;
}
