/** The simulator's configuration. */
import { envFields, parseEnv, portField } from '@recloser/runtime/env/env';

/** Reads SIMULATOR_PORT (3002), HOST and LOG_LEVEL. Throws ConfigError. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>) {
  const { NODE_ENV, HOST, LOG_LEVEL, LOG_PRETTY } = envFields;
  return parseEnv({ NODE_ENV, HOST, LOG_LEVEL, LOG_PRETTY, SIMULATOR_PORT: portField(3002) }, env);
}
