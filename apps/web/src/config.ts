/** The web app's configuration: a pure function of the environment, parsed once, frozen. */
import { ConfigError, type Env, envFields, parseEnv, portField } from '@recloser/runtime/env';
import { z } from 'zod';
import { type ApiKey, parseApiKeys } from './api-keys.ts';
import { isLoopback } from './loopback.ts';

const shape = {
  ...envFields,
  WEB_PORT: portField(3000),
  API_KEYS: z.string().optional(),
  SESSION_KEY: z.string().optional(),
  /** Where the development's own session key is kept. */
  DATA_DIR: z.string().default('.data'),
};

/** What the web app is configured with. `apiKeys` empty: open, and then only reachable from this machine. */
export type WebConfig = Readonly<
  Omit<z.output<z.ZodObject<typeof shape>>, 'API_KEYS'> & { readonly apiKeys: readonly ApiKey[] }
>;

/** Parses the environment. Throws `ConfigError`, which names what to do and repeats no value. */
export function loadConfig(env: Env): WebConfig {
  const { API_KEYS, ...rest } = parseEnv(shape, env);
  const parsed = parseApiKeys(API_KEYS ?? '');
  if (!parsed.ok) throw new ConfigError(`The configuration is not valid:\n  API_KEYS: ${parsed.problem}`);
  if (parsed.keys.length === 0) refuseOpen(rest);
  return Object.freeze({ ...rest, apiKeys: Object.freeze(parsed.keys) });
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
