/** The web app's configuration: a pure function of the environment, parsed once, frozen. */
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
  /** Path of a file with more keys; read again when it changes. */
  API_KEYS_FILE: z.string().trim().optional(),
  /** Requests a key may make per minute, all web processes together; 0: any number. */
  RATE_LIMIT_PER_MINUTE: intField(0, { min: 0, max: 10_000_000 }),
  KEEP_SUCCEEDED_HOURS: intField(succeededRetention.ageSeconds / 3600, { min: 1, max: 24 * 3650 }),
  KEEP_SUCCEEDED_CALLS: intField(succeededRetention.count, { min: 1, max: 10_000_000 }),
  /** How old a result may be that is given out in place of a new one. */
  STALE_TTL_SECONDS: intField(staleTtlDefaultSeconds, { min: 1, max: 365 * 24 * 3600 }),
  /** Duplicate window of the operations that have one; absent: each one's own; 0: none. */
  DUPLICATE_WINDOW_SECONDS: optionalIntField({ min: 0, max: 24 * 3600 }),
  /** Where finished calls may be pushed to. */
  CALLBACK_HOSTS: z.string().optional(),
  SESSION_KEY: z.string().optional(),
  /** Where the development's own session key is kept. */
  DATA_DIR: z.string().default('.data'),
};

/** What the web app is configured with. `apiKeys` empty: open, and then only reachable from this machine. */
export type WebConfig = Readonly<
  Omit<z.output<z.ZodObject<typeof shape>>, 'API_KEYS' | 'CALLBACK_HOSTS'> & {
    readonly apiKeys: readonly ApiKey[];
    readonly callbackHosts: CallbackHosts;
    readonly retention: SucceededRetention;
  }
>;

/** Parses the environment. Throws `ConfigError`, which names what to do and repeats no value. */
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
  const how = 'set it to name:<sha256 of the key as hex>, several separated by commas';
  if (NODE_ENV === 'production') {
    throw new ConfigError(`The configuration is not valid:\n  API_KEYS: is required in production; ${how}`);
  }
  if (!isLoopback(HOST)) {
    throw new ConfigError(
      `The configuration is not valid:\n  API_KEYS: is required because HOST is not a loopback address; ${how}, or set HOST to 127.0.0.1`,
    );
  }
}
