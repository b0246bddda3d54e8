/**
 * Parses environment variables into one frozen, typed object. An empty variable counts as unset. Error messages never
 * contain a value, because it may be a secret.
 */
import { z } from 'zod';
import { parseRedisUrl } from './redis-url.ts';

/** The configuration is invalid. The message names each bad variable and the fix. */
export class ConfigError extends Error {
  readonly code = 'config_invalid';
  override readonly name = 'ConfigError';
}

export type Env = Readonly<Record<string, string | undefined>>;

/**
 * Parses `env` with a zod shape, or a zod type over an object. Freezes the result deeply.
 * Throws {@link ConfigError} with every bad variable.
 */
export function parseEnv<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: Env,
): Readonly<z.output<z.ZodObject<Shape>>>;
export function parseEnv<Type extends z.ZodType>(type: Type, env: Env): Readonly<z.output<Type>>;
export function parseEnv(shapeOrType: z.ZodRawShape | z.ZodType, env: Env): unknown {
  const type = shapeOrType instanceof z.ZodType ? shapeOrType : z.object(shapeOrType);
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value.trim() !== ''),
  );
  const parsed = type.safeParse(given);
  if (parsed.success) return freezeDeep(parsed.data);
  const lines = parsed.error.issues.map((issue) => `  ${describe(issue, given)}`);
  throw new ConfigError(
    `The configuration is not valid:\n${[...new Set(lines)].join('\n')}\nSee .env.example for a description of every variable.`,
  );
}

function describe(issue: z.core.$ZodIssue, given: Readonly<Record<string, unknown>>): string {
  const variable = issue.path.length > 0 ? String(issue.path[0]) : '(environment)';
  if (issue.path.length > 0 && !(variable in given) && issue.code !== 'custom')
    return `${variable}: is required`;
  return `${variable}: ${issue.message}`;
}

function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const inner of Object.values(value)) freezeDeep(inner);
  return Object.freeze(value);
}

/** A whole number from `min` to `max`, both included. */
export function intField(fallback: number, range: { readonly min: number; readonly max: number }) {
  return wholeNumber(range).default(fallback);
}

/** A whole number in a range, or undefined when it is not set. */
export function optionalIntField(range: { readonly min: number; readonly max: number }) {
  return wholeNumber(range).optional();
}

function wholeNumber({ min, max }: { readonly min: number; readonly max: number }) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .trim()
    .regex(/^-?\d{1,15}$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message);
}

/** A TCP port. 0 picks a free port. */
export function portField(fallback: number) {
  return intField(fallback, { min: 0, max: 65_535 });
}

const redisUrlField = z
  .string()
  .trim()
  .superRefine((url, context) => {
    const parsed = parseRedisUrl(url);
    if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.problem });
  })
  .default('redis://127.0.0.1:6379');

/** Variables that every process reads. Spread them into an app's own shape. */
export const envFields = {
  NODE_ENV: z
    .enum(['development', 'test', 'production'], 'must be development, test or production')
    .default('development'),
  REDIS_URL: redisUrlField,
  /** PEM files for `rediss://`: the CA of Redis' certificate, and a client certificate if Redis requires one. */
  REDIS_CA_FILE: z.string().trim().optional(),
  REDIS_CERT_FILE: z.string().trim().optional(),
  REDIS_KEY_FILE: z.string().trim().optional(),
  REDIS_SENTINEL_PASSWORD: z.string().optional(),
  /** Replicas that must acknowledge a call before the API returns 202, and a sending mark before the write. */
  REDIS_WAIT_REPLICAS: intField(0, { min: 0, max: 5 }),
  /** Whether a replica acknowledges once it has the write in memory or once it has it on disk. */
  REDIS_WAIT_FOR: z.enum(['memory', 'disk'], 'must be memory or disk').default('memory'),
  /** No braces: they would replace the hash tag that keeps an upstream's keys in one slot. */
  REDIS_PREFIX: z
    .string()
    .trim()
    .regex(/^[\w.:-]{1,64}$/, 'must be 1 to 64 letters, digits or . : _ -')
    .default('recloser'),
  HOST: z.string().trim().default('127.0.0.1'),
  LOG_LEVEL: z
    .enum(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'must be fatal, error, warn, info, debug, trace or silent',
    )
    .default('info'),
  /** Receiver of traces (OTLP over HTTP). Unset: tracing is off. */
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
    .optional(),
  /** The exporter reads this variable itself. */
  OTEL_EXPORTER_OTLP_HEADERS: z.string().optional(),
  /** Share of the traces started here that are kept. */
  OTEL_TRACES_SAMPLER_ARG: z
    .string()
    .regex(/^(0(\.\d+)?|1(\.0+)?)$/, 'must be a number from 0 to 1')
    .transform(Number)
    .default(1),
  /** Unset: readable lines on a terminal in development, JSON otherwise. */
  LOG_PRETTY: z.stringbool('must be true or false').optional(),
};
