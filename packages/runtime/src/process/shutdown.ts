/**
 * Ends a process. SIGTERM or SIGINT stops it once, with exit status 0. A second signal, a failed stop, the deadline or
 * an uncaught error ends it with exit status 1.
 *
 * Uncaught errors are logged here, because Node's own report would print request options and headers.
 */
import type { Log } from '../observe/log.ts';

/** The members of `process` in use, so that a test can replace it. */
type ProcessLike = {
  on(event: string, listener: (value: unknown) => void): unknown;
  removeListener(event: string, listener: (value: unknown) => void): unknown;
  exit(code: number): void;
};

type ShutdownOptions = {
  /** Stops everything, in reverse order of starting. Called at most once. */
  readonly stop: () => Promise<void>;
  readonly deadlineMs: number;
  readonly log: Log<'info' | 'warn' | 'error' | 'fatal'>;
  /**
   * A second signal within this time is the same key press: the terminal and npm both deliver Ctrl-C. Default 500 ms.
   */
  readonly sameSignalMs?: number;
  /** Default: the real process. */
  readonly target?: ProcessLike;
};

/** Handles signals and uncaught errors. Returns a function that removes the handlers. */
export function runUntilSignal(options: ShutdownOptions): () => void {
  const { log, sameSignalMs = 500, target = process as ProcessLike } = options;
  let stoppingSince: number | undefined;
  const onSignal = (signal: unknown): void => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince < sameSignalMs) return;
      log.warn({ signal }, 'second signal: exiting at once');
      target.exit(1);
      return;
    }
    stoppingSince = performance.now();
    log.info({ signal }, 'stopping');
    void stopWithin(options, target);
  };
  const onFatal = (error: unknown): void => {
    log.fatal({ err: error }, 'uncaught error: exiting');
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
    log.error({ deadlineMs }, 'not stopped within the deadline: exiting');
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
