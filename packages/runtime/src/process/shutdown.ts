/**
 * The end of a process: SIGTERM or SIGINT → stop once → exit 0. A second signal, a failing stop, or the deadline →
 * exit 1. An error nobody caught → logged safely, exit 1: the process's state can no longer be trusted.
 *
 * Always true: Node's own report of an uncaught error is never reached, as it would print request options and headers.
 */
import type { Log } from '../observe/log.ts';

/** The part of `process` used here, so that a test can stand in for it. */
export type ProcessLike = {
  on(event: string, listener: (value: unknown) => void): unknown;
  removeListener(event: string, listener: (value: unknown) => void): unknown;
  exit(code: number): void;
};

/** What to do at the end, and by when. */
export type ShutdownOptions = {
  /** Stops everything in the reverse order of starting. Called at most once. */
  readonly stop: () => Promise<void>;
  readonly deadlineMs: number;
  readonly log: Log<'info' | 'warn' | 'error' | 'fatal'>;
  /**
   * A signal this soon after the first is the same key press: npm passes Ctrl-C on to a process that the terminal has
   * already told. 500 ms unless given.
   */
  readonly sameSignalMs?: number;
  /** The real process unless given (tests). */
  readonly target?: ProcessLike;
};

/** Takes over the process's end; returns a function that lets go of it again (tests). */
export function runUntilSignal(options: ShutdownOptions): () => void {
  const { log, sameSignalMs = 500, target = process as ProcessLike } = options;
  let stoppingSince: number | undefined;
  const onSignal = (signal: unknown): void => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince < sameSignalMs) return;
      log.warn({ signal }, 'second signal: leaving at once');
      target.exit(1);
      return;
    }
    stoppingSince = performance.now();
    log.info({ signal }, 'stopping');
    void stopWithin(options, target);
  };
  const onFatal = (error: unknown): void => {
    log.fatal({ err: error }, 'an error nobody caught: leaving');
    target.exit(1);
  };
  const listeners = [
    ['SIGTERM', () => onSignal('SIGTERM')],
    ['SIGINT', () => onSignal('SIGINT')],
    ['uncaughtException', onFatal],
    ['unhandledRejection', onFatal],
  ] as const;
  for (const [event, listener] of listeners) target.on(event, listener);
  return () => {
    for (const [event, listener] of listeners) target.removeListener(event, listener);
  };
}

async function stopWithin({ stop, deadlineMs, log }: ShutdownOptions, target: ProcessLike): Promise<void> {
  const deadline = setTimeout(() => {
    log.error({ deadlineMs }, 'not stopped within the deadline: leaving');
    target.exit(1);
  }, deadlineMs);
  deadline.unref();
  try {
    await stop();
    log.info({}, 'stopped');
    target.exit(0);
  } catch (error) {
    log.error({ err: error }, 'stopping failed');
    target.exit(1);
  } finally {
    clearTimeout(deadline);
  }
}
