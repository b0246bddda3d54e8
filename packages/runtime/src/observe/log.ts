/** The levels of a logger that a module needs. A pino logger satisfies it. */
export type Log<Level extends 'info' | 'warn' | 'error' | 'fatal' = 'info' | 'warn'> = Readonly<
  Record<Level, (fields: object, message: string) => void>
>;
