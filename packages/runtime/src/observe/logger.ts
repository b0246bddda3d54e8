/**
 * Creates the logger of a process, which writes JSON lines with pino. `redact.ts` removes secrets and personal data
 * from every object, error and format argument.
 */
import { createRequire } from 'node:module';
import { pino } from 'pino';
import { redact, redactObject, redactText } from './redact.ts';

/** A pino logger. Packages take a `Log` instead, so that they do not depend on pino. */
export type Logger = pino.Logger;

/** `name` is the process, such as `web`. `level` is a pino level. */
type LoggerOptions = {
  readonly name: string;
  readonly level: string;
  /** Readable, coloured lines instead of JSON. Default: only in development on a terminal. */
  readonly pretty?: boolean;
  /** `NODE_ENV`, for the default of `pretty`. */
  readonly environment?: string;
  /** Default: standard output. */
  readonly destination?: pino.DestinationStream;
};

/** Children (`log.child`) are redacted too. */
export function createLogger(options: LoggerOptions): Logger {
  const pretty = options.pretty ?? (options.environment === 'development' && process.stdout.isTTY === true);
  const destination = options.destination ?? (pretty ? prettyStream() : standardOutput());
  const settings: pino.LoggerOptions = {
    name: options.name,
    level: options.level,
    timestamp: pino.stdTimeFunctions.isoTime,
    // Replaces pino's own serializer. `formatters.log` runs first and has already redacted the error.
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
  // pino has no hook for a child's bindings. Children inherit this method.
  const child = log.child;
  log.child = function (this: Logger, bindings: pino.Bindings, childOptions?: object) {
    return child.call(this, redactObject(bindings), childOptions);
  } as typeof log.child;
  return log;
}

/** After our hook, pino uses an error's message as the message of the line. Returns that message. */
function borrowedMessage(first: unknown): string | undefined {
  if (first instanceof Error) return first.message;
  if (typeof first !== 'object' || first === null || 'msg' in first) return undefined;
  return 'err' in first && first.err instanceof Error ? first.err.message : undefined;
}

/**
 * Synchronous, because pino's buffered output flushes at exit. If the reader of the pipe is gone, that flush never
 * returns, and SIGTERM would not end the process.
 */
function standardOutput(): pino.DestinationStream {
  return pino.destination({ dest: 1, sync: true });
}

/** Loaded on demand, so that production does not pay for it. Synchronous, so that no line is lost at exit. */
function prettyStream(): pino.DestinationStream {
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  return pretty({
    sync: true,
    colorize: process.stdout.isTTY === true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
  });
}
