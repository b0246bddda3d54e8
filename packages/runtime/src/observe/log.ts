/** The levels of a log that a part writes to, as pino offers them. */
export type Log<Level extends 'info' | 'warn' | 'error' | 'fatal' = 'info' | 'warn'> = Readonly<
  Record<Level, (fields: object, message: string) => void>
>;
