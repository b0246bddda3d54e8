/** Runs all checks, within about ten seconds whatever is down. Checks that need Redis come last. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv as parseDotEnv } from 'node:util';
import type { Env } from '@recloser/runtime/env/env';
import { parseRedisUrl } from '@recloser/runtime/env/redis-url';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { type RedisSecurity, redisSecurity } from '@recloser/runtime/redis/security';
import type { UpstreamDefinition } from '@recloser/upstreams/contract/upstream';
import { definitions, upstreamNames } from '@recloser/upstreams/definitions';
import { parseConfig as parseWorker } from '@recloser/worker/config';
import { type AppName, checkConfiguration } from './check-configuration.ts';
import { checkDisk } from './check-disk.ts';
import { checkRedis } from './check-redis.ts';
import { checkState } from './check-state.ts';
import { checkUpstreams, type UpstreamAddress } from './check-upstreams.ts';
import { checkVersions } from './check-versions.ts';
import { type Finding, fail, warn } from './finding.ts';
import { checkUnknownVariables } from './unknown-variables.ts';

export type Patient = {
  /** The environment that the apps start with. */
  readonly env: Env;
  /** The apps that this machine runs. */
  readonly apps: readonly AppName[];
  /** The repository's folder. */
  readonly root: string;
  readonly nodeVersion: string;
};

/** Returns all findings, in the order in which they are printed. */
export async function examine({ env, apps, root, nodeVersion }: Patient): Promise<Finding[]> {
  const given: Env = Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim()));
  return [
    ...checkConfiguration(given, apps),
    ...checkNames(given, root),
    ...checkVersions(root, nodeVersion),
    checkDisk(resolve(root, given.DATA_DIR ?? '.data')),
    ...(apps.includes('worker') ? await checkAddresses(given) : []),
    ...(await checkServer(given, root)),
  ];
}

function checkNames(env: Env, root: string): Finding[] {
  const path = join(root, '.env.example');
  if (!existsSync(path)) return [];
  // A test keeps this file complete.
  const known = Object.keys(parseDotEnv(readFileSync(path, 'utf8')));
  const upstreams: readonly UpstreamDefinition[] = Object.values(definitions);
  return checkUnknownVariables(
    env,
    known,
    upstreams.map(({ envPrefix }) => envPrefix),
  );
}

async function checkAddresses(env: Env): Promise<Finding[]> {
  let upstreams: ReturnType<typeof parseWorker>['upstreams'];
  try {
    ({ upstreams } = parseWorker(env));
  } catch {
    // checkConfiguration reports each problem. Without valid settings there is no address to try.
    return [warn('upstreams', 'not checked', "fix the worker's configuration first")];
  }
  const addresses = upstreams.flatMap(({ name, settings }): UpstreamAddress[] => {
    const { envPrefix } = definitions[name];
    const base = { upstream: name, what: `${envPrefix}_BASE_URL`, url: settings.baseUrl };
    if (settings.loginBaseUrl === settings.baseUrl) return [base];
    return [base, { upstream: name, what: `${envPrefix}_LOGIN_BASE_URL`, url: settings.loginBaseUrl }];
  });
  return checkUpstreams(addresses);
}

async function checkServer(env: Env, root: string): Promise<Finding[]> {
  const url =
    env.REDIS_URL ?? embeddedRedisUrl(resolve(root, env.DATA_DIR ?? '.data')) ?? 'redis://127.0.0.1:6379';
  const parsed = parseRedisUrl(url);
  if (!parsed.ok) return [fail('redis', 'not checked', 'fix REDIS_URL first')];
  const { target } = parsed;
  const nodes = target.kind === 'single' ? [target.node] : target.nodes;
  const address = nodes.map(({ host, port }) => `${host}:${port}`).join(', ');
  let security: RedisSecurity;
  try {
    security = redisSecurity({ ...env, REDIS_URL: url });
  } catch {
    return [fail('redis', 'not checked', 'fix REDIS_CA_FILE, REDIS_CERT_FILE and REDIS_KEY_FILE first')];
  }
  const silent = { info: () => {}, warn: () => {} };
  const redis = connectRedis(url, { role: 'fast', name: 'recloser-doctor', log: silent, security });
  let lastError: Error | undefined;
  redis.on('error', (error: Error) => {
    lastError = error;
  });
  try {
    const production = env.NODE_ENV === 'production';
    const waitReplicas = Number(env.REDIS_WAIT_REPLICAS) || 0;
    const findings = await checkRedis({
      redis,
      address,
      production,
      waitReplicas,
      lastError: () => lastError,
    });
    if (findings[0]?.status === 'fail' && findings.length === 1) return findings;
    const upstreams = [...upstreamNames];
    return [...findings, ...(await checkState(redis, env.REDIS_PREFIX ?? 'recloser', upstreams))];
  } finally {
    redis.disconnect();
  }
}

/** Returns the URL of the Redis that `npm start` embeds. It records its port beside its data. */
function embeddedRedisUrl(dataDir: string): string | undefined {
  try {
    const note = JSON.parse(readFileSync(join(dataDir, 'redis/redis-owner.json'), 'utf8')) as {
      port?: number;
    };
    return note.port ? `redis://127.0.0.1:${note.port}` : undefined;
  } catch {
    return undefined;
  }
}
