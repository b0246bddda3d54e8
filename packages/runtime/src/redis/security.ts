/** Reads the certificates for `rediss://` and the sentinels' password. Error messages contain no secrets. */
import { readFileSync } from 'node:fs';
import { ConfigError } from '../env/env.ts';

/** The variables, as parsed by `envFields`. */
type RedisSecurityConfig = {
  readonly REDIS_URL: string;
  readonly REDIS_CA_FILE?: string | undefined;
  readonly REDIS_CERT_FILE?: string | undefined;
  readonly REDIS_KEY_FILE?: string | undefined;
  readonly REDIS_SENTINEL_PASSWORD?: string | undefined;
};

/** Certificates and keys are PEM text. */
export type RedisSecurity = {
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly sentinelPassword?: string;
};

/** Throws {@link ConfigError} if a file is unreadable or the variables contradict each other. */
export function redisSecurity(config: RedisSecurityConfig): RedisSecurity {
  const { REDIS_SENTINEL_PASSWORD: sentinelPassword, REDIS_URL: url } = config;
  const ca = readPem(config, 'REDIS_CA_FILE');
  const cert = readPem(config, 'REDIS_CERT_FILE');
  const key = readPem(config, 'REDIS_KEY_FILE');
  if ((cert === undefined) !== (key === undefined))
    throw invalid('REDIS_CERT_FILE: requires REDIS_KEY_FILE; set both or neither');
  if ((ca ?? cert) !== undefined && !url.trim().startsWith('rediss'))
    throw invalid('REDIS_URL: certificates require TLS; use rediss:// instead of redis://');
  const tls = { ...(ca && { ca }), ...(cert && key && { cert, key }) };
  return { ...(ca || cert ? { tls } : {}), ...(sentinelPassword && { sentinelPassword }) };
}

function readPem(
  config: RedisSecurityConfig,
  variable: 'REDIS_CA_FILE' | 'REDIS_CERT_FILE' | 'REDIS_KEY_FILE',
): string | undefined {
  const path = config[variable];
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw invalid(
      `${variable}: cannot read the file (${code}); set it to a PEM file that this process can read`,
    );
  }
  if (!text.includes('-----BEGIN '))
    throw invalid(`${variable}: is not a PEM file (it must contain -----BEGIN …)`);
  return text;
}

function invalid(problem: string): ConfigError {
  return new ConfigError(`The configuration is not valid:\n  ${problem}`);
}
