/** An upstream's settings from the environment. Outside production every variable defaults to the simulator. */
import { type Env, intField, parseEnv } from '@recloser/runtime/env/env';
import { z } from 'zod';
import type { BreakerPolicy, OperationDefinition, UpstreamDefinition } from './upstream.ts';

/** The settings that web and admin need too. They contain no credentials. */
export type UpstreamPolicy = {
  readonly breaker: BreakerPolicy;
  /** The definition's operations with this installation's timeouts, attempts and backoff. */
  readonly operations: Readonly<Record<string, OperationDefinition>>;
  /** Number of waiting calls at which the API refuses new ones. */
  readonly maxBacklog: number;
};

/** Everything a client needs. Only the worker loads it. */
export type UpstreamSettings = UpstreamPolicy & {
  /** May have a path prefix; has no trailing slash. */
  readonly baseUrl: string;
  /** Base URL of the sign-in host; same as `baseUrl` if there is no separate one. */
  readonly loginBaseUrl: string;
  readonly username: string;
  readonly password: string;
  /** IANA zone of the upstream's times that have no offset. */
  readonly timezone: string;
  /** Identifies the phone that receives text-message codes; `''` where the upstream needs none. */
  readonly mfaCredentialId: string;
};

/** See docs/upstreams/crossmark.md, "Sign-in". */
const defaultTimezone = 'America/Indianapolis';
const defaultMaxBacklog = 50_000;
const simulatorUrl = 'http://127.0.0.1:3002';
const simulatorCredential = 'simulator';

/** Parses the breaker policy, the operations and the backlog limit. Throws `ConfigError`. */
export function upstreamPolicy(definition: UpstreamDefinition, env: Env): UpstreamPolicy {
  // Only the worker uses the addresses, but every process reports a malformed one.
  const fields = { ...policyFields(definition), ...addressFields(definition, { required: false }) };
  return Object.freeze(policyOf(definition, parsePrefixed(definition, fields, env)));
}

/** Parses everything, credentials included. In production all of them are required. Throws `ConfigError`. */
export function upstreamSettings(definition: UpstreamDefinition, env: Env): UpstreamSettings {
  const required = env.NODE_ENV === 'production';
  const parsed = parsePrefixed(definition, settingsFields(definition, { required }), env);
  return Object.freeze({
    ...policyOf(definition, parsed),
    baseUrl: parsed.BASE_URL,
    loginBaseUrl: parsed.LOGIN_BASE_URL ?? parsed.BASE_URL,
    username: parsed.USERNAME,
    password: parsed.PASSWORD,
    timezone: parsed.TIMEZONE,
    mfaCredentialId: parsed.MFA_CREDENTIAL_ID,
  });
}

/** Names of the variables that `upstreamSettings` reads. */
export function upstreamVariables(definition: UpstreamDefinition): string[] {
  const names = Object.keys(settingsFields(definition, { required: false }));
  return names.map((name) => variable(definition, name));
}

function settingsFields(definition: UpstreamDefinition, { required }: { required: boolean }) {
  const byText = definition.signIn === 'text-message';
  return {
    ...policyFields(definition),
    ...addressFields(definition, { required }),
    USERNAME: orDefault(z.string(), simulatorCredential, required),
    PASSWORD: orDefault(z.string(), simulatorCredential, required),
    MFA_CREDENTIAL_ID: orDefault(z.string(), byText ? simulatorCredential : '', required && byText),
  };
}

function policyFields({ breaker }: UpstreamDefinition) {
  return {
    TIMEOUT_MS: optionalInt({ min: 100, max: 600_000 }),
    MAX_ATTEMPTS: optionalInt({ min: 1, max: 100 }),
    BACKOFF_BASE_MS: optionalInt({ min: 1, max: 300_000 }),
    BREAKER_FAIL_MAX: intField(breaker.failMax, { min: 1, max: 1000 }),
    BREAKER_RESET_MS: intField(breaker.resetMs, { min: 10, max: 86_400_000 }),
    BREAKER_FAIL_PERCENT: intField(breaker.failPercent, { min: 1, max: 100 }),
    MAX_BACKLOG: intField(defaultMaxBacklog, { min: 1, max: 100_000_000 }),
  };
}

function policyOf(
  { operations }: UpstreamDefinition,
  parsed: Parsed<ReturnType<typeof policyFields>>,
): UpstreamPolicy {
  return {
    breaker: Object.freeze({
      failMax: parsed.BREAKER_FAIL_MAX,
      resetMs: parsed.BREAKER_RESET_MS,
      failPercent: parsed.BREAKER_FAIL_PERCENT,
    }),
    operations: Object.freeze(
      Object.fromEntries(
        Object.entries(operations).map(([name, operation]) => [name, withOverrides(operation, parsed)]),
      ),
    ),
    maxBacklog: parsed.MAX_BACKLOG,
  };
}

function withOverrides(
  operation: OperationDefinition,
  { TIMEOUT_MS, MAX_ATTEMPTS, BACKOFF_BASE_MS }: Parsed<ReturnType<typeof policyFields>>,
): OperationDefinition {
  const { timeoutMs, retry } = operation;
  const baseMs = BACKOFF_BASE_MS ?? retry.baseMs;
  return Object.freeze({
    ...operation,
    timeoutMs: TIMEOUT_MS ?? timeoutMs,
    retry: Object.freeze({
      ...retry,
      maxAttempts: MAX_ATTEMPTS ?? retry.maxAttempts,
      baseMs,
      capMs: Math.max(baseMs, retry.capMs),
    }),
  });
}

function addressFields({ name, signIn }: UpstreamDefinition, { required }: { required: boolean }) {
  return {
    BASE_URL: orDefault(urlField, `${simulatorUrl}/${name}`, required),
    LOGIN_BASE_URL:
      signIn === 'text-message'
        ? orDefault(urlField, `${simulatorUrl}/${name}-login`, required)
        : urlField.optional(),
    TIMEZONE: z
      .string()
      .trim()
      .refine(isZoneName, 'must be the name of an IANA time zone')
      .default(defaultTimezone),
  };
}

const urlField = z
  .string()
  .trim()
  .transform((text) => text.replace(/\/+$/, ''))
  .superRefine((text, context) => {
    const url = URL.parse(text);
    if (!url || !['http:', 'https:'].includes(url.protocol)) {
      context.addIssue({ code: 'custom', message: 'must be an absolute http:// or https:// URL' });
    } else if (url.username || url.password || url.search || url.hash) {
      const message = 'must have no user name, password, query or fragment';
      context.addIssue({ code: 'custom', message });
    }
  });

function orDefault<Out>(field: z.ZodType<Out, string>, fallback: string, required: boolean): z.ZodType<Out> {
  return required ? field : field.prefault(fallback);
}

/** A whole number; unset: the definition's own. */
function optionalInt(range: { min: number; max: number }) {
  return intField(range.min, range).unwrap().optional();
}

type Parsed<Shape extends z.ZodRawShape> = z.output<z.ZodObject<Shape>>;

/** Parses variables whose names begin with the upstream's prefix. `shape` and the result have names without it. */
function parsePrefixed<Shape extends z.ZodRawShape>(
  definition: UpstreamDefinition,
  shape: Shape,
  env: Env,
): Parsed<Shape> {
  const names = Object.keys(shape);
  const prefixed = names.map((name) => [variable(definition, name), shape[name] as z.ZodType]);
  const parsed: Readonly<Record<string, unknown>> = parseEnv(Object.fromEntries(prefixed), env);
  return Object.fromEntries(names.map((name) => [name, parsed[variable(definition, name)]])) as Parsed<Shape>;
}

function variable({ envPrefix }: UpstreamDefinition, name: string): string {
  return `${envPrefix}_${name}`;
}

/** Accepts names only: `Intl` also takes offsets such as `-05:00`, which have no daylight saving. */
function isZoneName(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: value });
    return /^[A-Za-z]/.test(value);
  } catch {
    return false;
  }
}
