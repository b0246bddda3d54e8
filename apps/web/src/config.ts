/** The configuration of the web app, parsed from the environment. */
import { type CallbackHosts, parseCallbackHosts } from '@recloser/calls/callback/hosts';
import { staleTtlDefaultSeconds } from '@recloser/calls/write/last-good';
import { type SucceededRetention, succeededRetention } from '@recloser/calls/write/retention';
import {
  ConfigError,
  type Env,
  envFields,
  intField,
  optionalIntField,
  parseEnv,
  portField,
} from '@recloser/runtime/env/env';
import { z } from 'zod';
import { type ApiKey, parseApiKeys } from './http/api-keys.ts';
import { isLoopback } from './http/loopback.ts';

const shape = {
  ...envFields,
  WEB_PORT: portField(3000),
  API_KEYS: z.string().optional(),
  /** Path of a file with further keys. It is reloaded when it changes. */
  API_KEYS_FILE: z.string().trim().optional(),
  /** Requests per minute and key, for all web processes together. 0: no limit. */
  RATE_LIMIT_PER_MINUTE: intField(0, { min: 0, max: 10_000_000 }),
  KEEP_SUCCEEDED_HOURS: intField(succeededRetention.ageSeconds / 3600, { min: 1, max: 24 * 3650 }),
  KEEP_SUCCEEDED_CALLS: intField(succeededRetention.count, { min: 1, max: 10_000_000 }),
  /** Maximum age of a stale result. */
  STALE_TTL_SECONDS: intField(staleTtlDefaultSeconds, { min: 1, max: 365 * 24 * 3600 }),
  /** Overrides the duplicate window of the operations that have one. 0 turns it off. */
  DUPLICATE_WINDOW_SECONDS: optionalIntField({ min: 0, max: 24 * 3600 }),
  /** Allow-list for callback URLs. */
  CALLBACK_HOSTS: z.string().optional(),
  SESSION_KEY: z.string().optional(),
  /** Directory of the session key that is generated in development. */
  DATA_DIR: z.string().default('.data'),
};

/** Without `apiKeys` and `API_KEYS_FILE`, only this machine can use the API. */
export type WebConfig = Readonly<
  Omit<z.output<z.ZodObject<typeof shape>>, 'API_KEYS' | 'CALLBACK_HOSTS'> & {
    readonly apiKeys: readonly ApiKey[];
    readonly callbackHosts: CallbackHosts;
    readonly retention: SucceededRetention;
  }
>;

/** Parses the environment. Throws `ConfigError`, whose message repeats no values. */
export function parseConfig(env: Env): WebConfig {
  const { API_KEYS, CALLBACK_HOSTS, ...rest } = parseEnv(shape, env);
  const parsed = parseApiKeys(API_KEYS ?? '');
  if (!parsed.ok) throw new ConfigError(`The configuration is not valid:\n  API_KEYS: ${parsed.problem}`);
  if (parsed.keys.length === 0 && rest.API_KEYS_FILE === undefined) refuseOpen(rest);
  const hosts = parseCallbackHosts(CALLBACK_HOSTS ?? '');
  if (!hosts.ok) throw new ConfigError(`The configuration is not valid:\n  CALLBACK_HOSTS: ${hosts.problem}`);
  const retention = Object.freeze({
    ageSeconds: rest.KEEP_SUCCEEDED_HOURS * 3600,
    count: rest.KEEP_SUCCEEDED_CALLS,
  });
  const apiKeys = Object.freeze(parsed.keys);
  return Object.freeze({ ...rest, apiKeys, callbackHosts: hosts.value, retention });
}

function refuseOpen({ NODE_ENV, HOST }: { NODE_ENV: string; HOST: string }): void {
  const how = 'set it to a comma-separated list of name:<SHA-256 of the key in hex>';
  if (NODE_ENV === 'production') {
    throw new ConfigError(`The configuration is not valid:\n  API_KEYS: is required in production; ${how}`);
  }
  if (!isLoopback(HOST)) {
    throw new ConfigError(
      `The configuration is not valid:\n  API_KEYS: is required because HOST is not a loopback address; ${how}, or set HOST to 127.0.0.1`,
    );
  }
}
