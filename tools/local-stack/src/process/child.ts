/**
 * One child process with its output gathered line by line.
 *
 * Always true: it runs outside our process group, so Ctrl-C in the terminal reaches only us and we stop children in
 * order; an end nobody asked for is told to `onUnexpectedExit`, once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { isInfo } from './pretty-line.ts';

/** How a process ended. */
export type ChildExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** What to run and whom to tell. */
export type ChildOptions = {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onLine?: (name: string, line: string) => void;
  readonly onUnexpectedExit?: (child: ChildHandle, exit: ChildExit) => void;
};

/** A child process, running or ended. */
export type ChildHandle = {
  readonly name: string;
  readonly pid: number | undefined;
  /** What it has written so far, the last 20,000 lines of both streams. */
  readonly lines: readonly string[];
  /** Resolves when it has ended and all its output has been read. */
  readonly exited: Promise<ChildExit>;
  readonly hasExited: boolean;
  /** Sends a signal and does not count the end it may bring as unexpected. SIGSTOP and SIGCONT freeze and thaw. */
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL when it has not ended by `deadlineMs`. Safe to call twice. */
  stop(deadlineMs: number): Promise<ChildExit>;
};

const keptLines = 20_000;

/** Starts a child process. */
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
      child.kill('SIGCONT'); // a frozen one could not react
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

/** Says how a process ended, with its last words; log lines of the normal course are left out. */
export function describeExit({ name, lines }: ChildHandle, { code, signal }: ChildExit): string {
  const lastWords = lines
    .filter((line) => !isInfo(line))
    .slice(-5)
    .map((line) => `\n    ${line}`);
  return `${name} ended unexpectedly (${signal ?? `exit code ${code}`})${lastWords.join('')}`;
}
