/**
 * An upstream's settings out of the environment: a pure function of `env`, frozen, parsed once by each app.
 *
 * Always true: an empty variable counts as unset, an error names every bad variable and what to do but never
 * a value, and outside production everything has a default that points at the simulator.
 */
import type { BreakerPolicy, OperationDefinition, UpstreamDefinition } from './upstream.ts';

/** The light part, which web and admin need too: no credentials in it. */
export type UpstreamPolicy = {
  readonly breaker: BreakerPolicy;
  /** The definition's operations with this installation's timeouts, attempts and backoff. */
  readonly operations: Readonly<Record<string, OperationDefinition>>;
  /** Calls waiting for this upstream at which intake says no. */
  readonly maxBacklog: number;
};

/** Everything a client needs. Only the worker asks for it. */
export type UpstreamSettings = UpstreamPolicy & {
  /** May carry a path prefix; never ends in a slash. */
  readonly baseUrl: string;
  /** Host of the sign-in pages where that is another one; else the same as `baseUrl`. */
  readonly loginBaseUrl: string;
  readonly username: string;
  readonly password: string;
  /** IANA zone of times the upstream gives and takes without an offset. */
  readonly timezone: string;
  /** Identifies the phone that text-message codes go to; `''` where the upstream needs none. */
  readonly mfaCredentialId: string;
};

/** The environment does not make valid settings. Has one line for each bad variable. */
export class SettingsError extends Error {
  readonly code = 'config_invalid';
  readonly problems: readonly string[];

  constructor(upstream: string, problems: readonly string[]) {
    super(
      `Settings of upstream ${upstream} are not valid:\n${problems.map((line) => `  ${line}`).join('\n')}`,
    );
    this.name = 'SettingsError';
    this.problems = problems;
  }
}

type Env = Readonly<Record<string, string | undefined>>;

/** The zone upstreams.md A1 saw the origin sign in with; also `America/Indiana/Indianapolis`. */
const defaultTimezone = 'America/Indianapolis';
const defaultMaxBacklog = 50_000;
const simulatorUrl = 'http://127.0.0.1:3002';
const simulatorCredential = 'simulator';

/** Parses the breaker policy, operations and backlog limit. Throws `SettingsError`. */
export function upstreamPolicy(definition: UpstreamDefinition, env: Env): UpstreamPolicy {
  const read = new Reader(definition, env);
  const policy = readPolicy(definition, read);
  // A wrong address or zone is worth knowing in every process, though only the worker uses them.
  readAddresses(definition, read, { required: false });
  read.throwProblems();
  return Object.freeze(policy);
}

/** Parses everything, credentials included. Throws `SettingsError`; in production that asks for each of them. */
export function upstreamSettings(definition: UpstreamDefinition, env: Env): UpstreamSettings {
  const read = new Reader(definition, env);
  const required = env.NODE_ENV === 'production';
  const byText = definition.signIn === 'text-message';
  const settings = {
    ...readPolicy(definition, read),
    ...readAddresses(definition, read, { required }),
    username: read.text('USERNAME', { required, fallback: simulatorCredential }),
    password: read.text('PASSWORD', { required, fallback: simulatorCredential }),
    mfaCredentialId: read.text('MFA_CREDENTIAL_ID', {
      required: required && byText,
      fallback: byText ? simulatorCredential : '',
    }),
  };
  read.throwProblems();
  return Object.freeze(settings);
}

function readAddresses(definition: UpstreamDefinition, read: Reader, { required }: { required: boolean }) {
  const byText = definition.signIn === 'text-message';
  const baseUrl = read.url('BASE_URL', { required, fallback: `${simulatorUrl}/${definition.name}` });
  const loginBaseUrl =
    byText || read.has('LOGIN_BASE_URL')
      ? read.url('LOGIN_BASE_URL', { required, fallback: `${simulatorUrl}/${definition.name}-login` })
      : baseUrl;
  return { baseUrl, loginBaseUrl, timezone: read.zone('TIMEZONE', defaultTimezone) };
}

function readPolicy(definition: UpstreamDefinition, read: Reader): UpstreamPolicy {
  const timeoutMs = read.integer('TIMEOUT_MS', { min: 100, max: 600_000 });
  const maxAttempts = read.integer('MAX_ATTEMPTS', { min: 1, max: 100 });
  const baseMs = read.integer('BACKOFF_BASE_MS', { min: 1, max: 300_000 });
  const operations = Object.entries(definition.operations).map(([name, operation]) => {
    const retry = Object.freeze({
      ...operation.retry,
      ...(maxAttempts !== undefined && { maxAttempts }),
      ...(baseMs !== undefined && { baseMs, capMs: Math.max(baseMs, operation.retry.capMs) }),
    });
    return [name, Object.freeze({ ...operation, retry, ...(timeoutMs !== undefined && { timeoutMs }) })];
  });
  return {
    breaker: Object.freeze({
      failMax: read.integer('BREAKER_FAIL_MAX', { min: 1, max: 1000 }) ?? definition.breaker.failMax,
      resetMs: read.integer('BREAKER_RESET_MS', { min: 10, max: 86_400_000 }) ?? definition.breaker.resetMs,
      failPercent:
        read.integer('BREAKER_FAIL_PERCENT', { min: 1, max: 100 }) ?? definition.breaker.failPercent,
    }),
    operations: Object.freeze(Object.fromEntries(operations)),
    maxBacklog: read.integer('MAX_BACKLOG', { min: 1, max: 100_000_000 }) ?? defaultMaxBacklog,
  };
}

/** Reads prefixed variables and collects what is wrong with them, so that one error names them all. */
class Reader {
  readonly #definition: UpstreamDefinition;
  readonly #env: Env;
  readonly #problems: string[] = [];

  constructor(definition: UpstreamDefinition, env: Env) {
    this.#definition = definition;
    this.#env = env;
  }

  throwProblems(): void {
    if (this.#problems.length > 0) throw new SettingsError(this.#definition.name, this.#problems);
  }

  has(suffix: string): boolean {
    return this.#value(suffix) !== undefined;
  }

  text(suffix: string, { required, fallback }: { required: boolean; fallback: string }): string {
    const value = this.#value(suffix);
    if (value === undefined && required) this.#bad(suffix, 'set it: production has no default for it');
    return value ?? fallback;
  }

  url(suffix: string, options: { required: boolean; fallback: string }): string {
    const value = this.text(suffix, options).trim().replace(/\/+$/, '');
    const url = URL.parse(value);
    if (!url || !['http:', 'https:'].includes(url.protocol)) {
      this.#bad(suffix, 'set it to an absolute http:// or https:// URL');
    } else if (url.username || url.password || url.search || url.hash) {
      this.#bad(suffix, 'take user name, password, query and fragment out of the URL');
    }
    return value;
  }

  integer(suffix: string, { min, max }: { min: number; max: number }): number | undefined {
    const value = this.#value(suffix)?.trim();
    if (value === undefined) return undefined;
    const number = /^\d{1,12}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) {
      this.#bad(suffix, `set it to a whole number from ${min} to ${max}, or leave it out`);
      return undefined;
    }
    return number;
  }

  zone(suffix: string, fallback: string): string {
    const value = this.#value(suffix)?.trim() ?? fallback;
    if (!isZoneName(value)) {
      this.#bad(suffix, `set it to an IANA time zone such as ${fallback}`);
    }
    return value;
  }

  #value(suffix: string): string | undefined {
    return this.#env[`${this.#definition.envPrefix}_${suffix}`] || undefined;
  }

  #bad(suffix: string, advice: string): void {
    this.#problems.push(`${this.#definition.envPrefix}_${suffix}: ${advice}`);
  }
}

/** Names only: an offset such as `-05:00` passes `Intl` and knows nothing of daylight saving. */
function isZoneName(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: value });
    return /^[A-Za-z]/.test(value);
  } catch {
    return false;
  }
}
