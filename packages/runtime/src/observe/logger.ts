/**
 * The one way a process logs: JSON lines by pino, made safe by `redact.ts` before they leave.
 *
 * Always true: whatever object, error or format argument is logged, secrets and personal data are removed.
 */
import { createRequire } from 'node:module';
import { pino } from 'pino';
import { redact, redactObject, redactText } from './redact.ts';

/** A pino logger. Packages that must not depend on pino take the few methods they use. */
export type Logger = pino.Logger;

/** How to log. `name` is the process (`web`); `level` is pino's. */
export type LoggerOptions = {
  readonly name: string;
  readonly level: string;
  /** Readable coloured lines instead of JSON. Unset: only in development and on a terminal. */
  readonly pretty?: boolean;
  /** `NODE_ENV`; decides about `pretty` when that is unset. */
  readonly environment?: string;
  /** Where lines go; standard output unless given (tests). */
  readonly destination?: pino.DestinationStream;
};

/** Makes the process's logger. Children (`log.child`) are redacted too. */
export function createLogger(options: LoggerOptions): Logger {
  const pretty = options.pretty ?? (options.environment === 'development' && process.stdout.isTTY === true);
  const destination = options.destination ?? (pretty ? prettyStream() : standardOutput());
  const settings: pino.LoggerOptions = {
    name: options.name,
    level: options.level,
    timestamp: pino.stdTimeFunctions.isoTime,
    // pino has put an error under `err` by now; `formatters.log` has already made it safe.
    serializers: { err: redact },
    formatters: {
      level: (label) => ({ level: label }),
      log: (object) => redactObject(object),
    },
    hooks: {
      logMethod(args, method) {
        const safe = args.map((argument, index) =>
          index === 0 && typeof argument === 'object' ? argument : redact(argument),
        );
        const message = borrowedMessage(args[0]);
        if (message !== undefined && safe.length === 1) safe.push(redactText(message));
        method.apply(this, safe as Parameters<typeof method>);
      },
    },
  };
  const log = pino(settings, destination);
  // pino offers no hook for a child's own bindings; children inherit this `child`.
  const child = log.child;
  log.child = function (this: Logger, bindings: pino.Bindings, childOptions?: object) {
    return child.call(this, redactObject(bindings), childOptions);
  } as typeof log.child;
  return log;
}

/** Inside pino, after our hook, an error's message becomes the line's: this is that message. */
function borrowedMessage(first: unknown): string | undefined {
  if (first instanceof Error) return first.message;
  if (typeof first !== 'object' || first === null || 'msg' in first) return undefined;
  return 'err' in first && first.err instanceof Error ? first.err.message : undefined;
}

/**
 * Written at once: what pino would take instead gathers lines and writes them out at the end, and there it waits for
 * ever when nobody reads them any more, so that SIGTERM would not end the process.
 */
function standardOutput(): pino.DestinationStream {
  return pino.destination({ dest: 1, sync: true });
}

/** Loaded only when wanted: production does not pay for it. Synchronous, so nothing is lost on exit. */
function prettyStream(): pino.DestinationStream {
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  return pretty({
    sync: true,
    colorize: process.stdout.isTTY === true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
  });
}
