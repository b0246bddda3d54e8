/** Makes sure, before anything runs on it, that a Redis carries this installation's id and no other. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Env, envFields, parseEnv } from '@recloser/runtime/env/env';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { claimInstallation, hostsOf, OtherInstallationError } from '@recloser/runtime/redis/installation';
import { redisSecurity } from '@recloser/runtime/redis/security';
import { secretInFile } from '@recloser/runtime/secrets/secret-file';

const { REDIS_URL, REDIS_PREFIX, REDIS_CA_FILE, REDIS_CERT_FILE, REDIS_KEY_FILE, REDIS_SENTINEL_PASSWORD } =
  envFields;
const shape = {
  REDIS_URL,
  REDIS_PREFIX,
  REDIS_CA_FILE,
  REDIS_CERT_FILE,
  REDIS_KEY_FILE,
  REDIS_SENTINEL_PASSWORD,
};

const answerMs = 20_000;

class RedisSilentError extends Error {
  readonly code = 'redis_silent';
}

/** `isOurs`: it runs in our own data folder, so that its id is ours whatever it is. Throws a message for people. */
export async function claimRedis({
  env,
  installationDir,
  isOurs,
  say,
}: {
  readonly env: Env;
  readonly installationDir: string;
  readonly isOurs: boolean;
  readonly say?: ((line: string) => void) | undefined;
}): Promise<void> {
  const config = parseEnv(shape, env);
  const { REDIS_URL: redisUrl, REDIS_PREFIX: prefix } = config;
  const id = secretInFile(join(installationDir, 'installation'), randomUUID);
  const redis = connectRedis(redisUrl, {
    role: 'worker',
    name: 'recloser-start',
    log: { info: () => {}, warn: (_about, message) => say?.(message) },
    security: redisSecurity(config),
  });
  const answered = new AbortController();
  try {
    const found = await Promise.race([
      claimInstallation({ redis, prefix, madeBy: 'npm start', id }),
      silence(redisUrl, answered.signal),
    ]);
    if (!isOurs && found?.id !== id) throw new OtherInstallationError({ redisUrl, prefix, other: found });
  } finally {
    answered.abort();
    redis.disconnect();
  }
}

async function silence(redisUrl: string, signal: AbortSignal): Promise<never> {
  await pause(answerMs, undefined, { signal }).catch(() => {});
  throw new RedisSilentError(
    `The Redis at ${hostsOf(redisUrl)} did not answer within ${answerMs / 1000} s: check REDIS_URL.`,
  );
}
