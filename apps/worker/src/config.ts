/** The worker's configuration: parsed from the environment and frozen. All errors are reported together. */
import { type CallbackHosts, parseCallbackHosts } from '@recloser/calls/callback/hosts';
import { staleTtlDefaultSeconds } from '@recloser/calls/write/last-good';
import { failedRetention } from '@recloser/calls/write/retention';
import { ConfigError, type Env, envFields, intField, parseEnv, portField } from '@recloser/runtime/env/env';
import { type UpstreamSettings, upstreamSettings } from '@recloser/upstreams/contract/settings';
import { definitions, type UpstreamName, upstreamNames } from '@recloser/upstreams/definitions';
import { z } from 'zod';
import { defaultTimings } from './queue/timings.ts';

const dayMs = 86_400_000;

const upstreamsField = z
  .string()
  .transform((text, context): readonly UpstreamName[] => {
    const names = [...new Set(text.split(/[\s,]+/).filter((name) => name !== ''))];
    const known = names.filter(isUpstreamName);
    if (known.length < names.length || known.length === 0) {
      const message = `must be a comma-separated list of: ${upstreamNames.join(', ')}`;
      context.addIssue({ code: 'custom', message });
    }
    return known;
  })
  .optional();

/** Whole numbers separated by commas or spaces. The error message names `unit`. */
function numbersField({
  min,
  max,
  digits,
  unit,
}: {
  min: number;
  max: number;
  digits: number;
  unit: string;
}) {
  const number = new RegExp(`^\\d{1,${digits}}$`);
  return z
    .string()
    .transform((text) => text.split(/[\s,]+/).filter((part) => part !== ''))
    .refine(
      (parts) => parts.length >= min && parts.length <= max && parts.every((part) => number.test(part)),
      `must be ${min} to ${max} whole numbers (${unit}), separated by commas`,
    )
    .transform((parts): readonly number[] => parts.map(Number));
}

/** The retry schedule of Standard Webhooks: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. */
const retryField = numbersField({ min: 1, max: 50, digits: 6, unit: 'seconds' }).default([
  5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
]);

/** See `Timings.readBackWaitsMs`. */
const readBackField = numbersField({ min: 2, max: 20, digits: 7, unit: 'ms' })
  .refine(
    (waits) => waits.every((ms, index) => index === 0 || ms > (waits[index - 1] ?? 0)),
    'must increase from one value to the next',
  )
  .default(defaultTimings.readBackWaitsMs);

const shape = {
  ...envFields,
  /** The upstreams that this process makes calls for. Default: all. */
  WORKER_UPSTREAMS: upstreamsField,
  /** Calls that this process makes in parallel, per upstream. */
  WORKER_CONCURRENCY: intField(10, { min: 1, max: 1000 }),
  WORKER_HEALTH_PORT: portField(3003),
  /** How long running calls may continue after SIGTERM before they are given back. */
  WORKER_STOP_MS: intField(20_000, { min: 0, max: 600_000 }),
  /** When an ambiguous write is read back, counted from the moment it became in doubt. */
  READ_BACK_WAITS_MS: readBackField,
  /** Sign-ins of the whole fleet to one upstream per 15 minutes. */
  SIGN_IN_LIMIT: intField(5, { min: 1, max: 10_000 }),
  SESSION_KEY: z.string().optional(),
  /** Directory of the generated secrets in development. */
  DATA_DIR: z.string().trim().default('.data'),
  /** Hosts that may receive callbacks. If unset, this process delivers none. */
  CALLBACK_HOSTS: z.string().optional(),
  /** Secrets that sign callbacks. Never logged. */
  CALLBACK_SECRETS: z.string().optional(),
  CALLBACK_TIMEOUT_MS: intField(20_000, { min: 100, max: 60_000 }),
  CALLBACK_RETRY_SECONDS: retryField,
  /** The breaker of each receiving host. */
  CALLBACK_BREAKER_FAIL_MAX: intField(5, { min: 1, max: 1000 }),
  CALLBACK_BREAKER_RESET_MS: intField(30_000, { min: 100, max: 3_600_000 }),
  /** How long results are kept for `ifOpen: "stale"`. */
  STALE_TTL_SECONDS: intField(staleTtlDefaultSeconds, { min: 1, max: 365 * 24 * 3600 }),
  KEEP_FAILED_DAYS: intField(failedRetention.maxAgeMs / dayMs, { min: 1, max: 3650 }),
  KEEP_FAILED_CALLS: intField(failedRetention.maxCount, { min: 1, max: 10_000_000 }),
};

/** `settings` contain credentials: never log them. */
export type WorkerConfig = Readonly<
  Omit<z.output<z.ZodObject<typeof shape>>, 'WORKER_UPSTREAMS' | 'CALLBACK_HOSTS'>
> & {
  /** Null: this process delivers no callbacks. */
  readonly callbackHosts: CallbackHosts | null;
  readonly upstreams: readonly { readonly name: UpstreamName; readonly settings: UpstreamSettings }[];
  readonly retention: { readonly maxAgeMs: number; readonly maxCount: number };
};

/** Parses the environment. Throws `ConfigError`, which names each invalid variable and contains no values. */
export function parseConfig(env: Env): WorkerConfig {
  const { WORKER_UPSTREAMS, CALLBACK_HOSTS, ...rest } = parseEnv(shape, env);
  const problems: string[] = [];
  const hosts = CALLBACK_HOSTS === undefined ? undefined : parseCallbackHosts(CALLBACK_HOSTS);
  if (hosts?.ok === false) problems.push(`CALLBACK_HOSTS: ${hosts.problem}`);
  const upstreams = (WORKER_UPSTREAMS ?? upstreamNames).flatMap((name) => {
    try {
      return [Object.freeze({ name, settings: upstreamSettings(definitions[name], env) })];
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
      return [];
    }
  });
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  const retention = { maxAgeMs: rest.KEEP_FAILED_DAYS * dayMs, maxCount: rest.KEEP_FAILED_CALLS };
  return Object.freeze({
    ...rest,
    callbackHosts: hosts?.ok ? hosts.value : null,
    upstreams: Object.freeze(upstreams),
    retention: Object.freeze(retention),
  });
}

function isUpstreamName(text: string): text is UpstreamName {
  return (upstreamNames as readonly string[]).includes(text);
}
