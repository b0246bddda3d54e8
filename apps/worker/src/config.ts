/** The worker's configuration: a pure function of the environment, frozen, with every mistake named at once. */
import { failedRetention } from '@recloser/calls/retention';
import { ConfigError, type Env, envFields, intField, parseEnv, portField } from '@recloser/runtime/env';
import { definitions, type UpstreamName, upstreamNames } from '@recloser/upstreams/definitions';
import { type UpstreamSettings, upstreamSettings } from '@recloser/upstreams/settings';
import { z } from 'zod';

const dayMs = 86_400_000;

const upstreamsField = z
  .string()
  .transform((text, context): readonly UpstreamName[] => {
    const names = [...new Set(text.split(/[\s,]+/).filter((name) => name !== ''))];
    const known = names.filter(isUpstreamName);
    if (known.length < names.length || known.length === 0) {
      const message = `must name upstreams out of: ${upstreamNames.join(', ')} (separated by commas)`;
      context.addIssue({ code: 'custom', message });
    }
    return known;
  })
  .optional();

const shape = {
  ...envFields,
  /** Which upstreams this process works for; all when unset. */
  WORKER_UPSTREAMS: upstreamsField,
  /** Calls this process makes at once, for each upstream. */
  WORKER_CONCURRENCY: intField(10, { min: 1, max: 1000 }),
  WORKER_HEALTH_PORT: portField(3003),
  /** How long running calls may go on after SIGTERM before they are given back. */
  WORKER_STOP_MS: intField(20_000, { min: 0, max: 600_000 }),
  SESSION_KEY: z.string().optional(),
  /** Where the development's own session key is kept. */
  DATA_DIR: z.string().trim().default('.data'),
  KEEP_FAILED_DAYS: intField(failedRetention.maxAgeMs / dayMs, { min: 1, max: 3650 }),
  KEEP_FAILED_CALLS: intField(failedRetention.maxCount, { min: 1, max: 10_000_000 }),
};

/** What the worker is configured with. `settings` hold credentials: never log them. */
export type WorkerConfig = Readonly<Omit<z.output<z.ZodObject<typeof shape>>, 'WORKER_UPSTREAMS'>> & {
  readonly upstreams: readonly { readonly name: UpstreamName; readonly settings: UpstreamSettings }[];
  readonly retention: { readonly maxAgeMs: number; readonly maxCount: number };
};

/** Parses the environment. Throws `ConfigError`, which names each bad variable and repeats no value. */
export function parseConfig(env: Env): WorkerConfig {
  const { WORKER_UPSTREAMS, ...rest } = parseEnv(shape, env);
  const problems: string[] = [];
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
  return Object.freeze({ ...rest, upstreams: Object.freeze(upstreams), retention: Object.freeze(retention) });
}

function isUpstreamName(text: string): text is UpstreamName {
  return (upstreamNames as readonly string[]).includes(text);
}
