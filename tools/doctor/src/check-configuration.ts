/**
 * Checks whether each app would start with this environment, with the app's own parser. Its messages contain no values.
 * Unlike an app in development, this creates no session key.
 */
import { parseConfig as parseAdmin } from '@recloser/admin/config';
import type { Env } from '@recloser/runtime/env/env';
import { redisSecurity } from '@recloser/runtime/redis/security';
import { loadSessionKeys } from '@recloser/runtime/secrets/seal';
import { parseConfig as parseSimulator } from '@recloser/simulator/config';
import { upstreamPolicy } from '@recloser/upstreams/contract/settings';
import { definitions } from '@recloser/upstreams/definitions';
import { parseConfig as parseWeb } from '@recloser/web/config';
import { parseConfig as parseWorker } from '@recloser/worker/config';
import { type Finding, fail, ok } from './finding.ts';

export const appNames = ['web', 'worker', 'admin', 'simulator'] as const;
export type AppName = (typeof appNames)[number];

const parsers: Readonly<Record<AppName, (env: Env) => void>> = {
  web(env) {
    redisSecurity(parseWeb(env));
    checkPolicies(env);
    checkSessionKey(env);
  },
  worker(env) {
    redisSecurity(parseWorker(env));
    checkSessionKey(env);
  },
  admin(env) {
    redisSecurity(parseAdmin(env));
    checkPolicies(env);
    checkSessionKey(env);
  },
  simulator: parseSimulator,
};

/** Returns one finding per valid app, or one per problem. */
export function checkConfiguration(env: Env, apps: readonly AppName[]): Finding[] {
  const said = new Set<string>();
  return apps.flatMap((app) => {
    const problems = problemsOf(() => parsers[app](env));
    if (problems.length === 0) return [ok(app, 'the configuration is valid')];
    return problems.flatMap((problem) => {
      // A problem that several apps share is reported once.
      if (said.has(problem)) return [];
      said.add(problem);
      return [fail(app, problem, 'fix this variable; .env.example describes it')];
    });
  });
}

function checkPolicies(env: Env): void {
  for (const definition of Object.values(definitions)) upstreamPolicy(definition, env);
}

function checkSessionKey({ SESSION_KEY, NODE_ENV = 'development' }: Env): void {
  if (SESSION_KEY?.trim() || NODE_ENV === 'production')
    loadSessionKeys({ SESSION_KEY: SESSION_KEY?.trim(), NODE_ENV, dataDir: '' });
}

/** Returns the indented lines of a configuration error, one per variable. */
function problemsOf(parse: () => void): string[] {
  try {
    parse();
    return [];
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'config_invalid') throw error;
    const lines = error.message.split('\n').filter((line) => /^\s+\S/.test(line));
    return lines.length > 0 ? lines.map((line) => line.trim()) : [error.message];
  }
}
