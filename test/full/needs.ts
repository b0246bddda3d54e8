/** The programs that `npm run test:full` needs besides Node, and their Debian packages. The tests find them the same way. */
import { dirname, join } from 'node:path';
import { findRedis } from '@recloser/local-stack/redis/find-redis';
import type { Env } from '@recloser/runtime/env/env';
import { findChromium } from '../support/programs/chromium.ts';
import { isExecutable, programsOnPath } from '../support/programs/programs.ts';
import { findPython } from '../support/programs/python.ts';

export type Need = {
  readonly what: string;
  readonly debianPackage: string;
  isMet(env: Env, cacheDir: string): Promise<boolean>;
};

/** Contains an unpacked Redis package. */
export const cacheDir = join(import.meta.dirname, '../../.cache');

async function hasRedis(env: Env, cacheDir: string): Promise<boolean> {
  const source = await findRedis({ env: { ...env, REDIS_URL: '' }, cacheDir }).catch(() => undefined);
  return source?.kind === 'command' && isExecutable(join(dirname(source.file), 'redis-cli'));
}

const finds = (find: (env: Env) => string) => async (env: Env) => {
  try {
    find(env);
    return true;
  } catch {
    return false;
  }
};

export const needs: readonly Need[] = [
  {
    what: 'redis-server and redis-cli: Sentinel, Cluster, TLS, backup',
    debianPackage: 'redis-server',
    isMet: hasRedis,
  },
  { what: 'Chromium: the admin pages', debianPackage: 'chromium', isMet: finds(findChromium) },
  {
    what: 'prometheus and promtool: metrics, alert rules, dashboard queries',
    debianPackage: 'prometheus',
    isMet: async (env) => ['prometheus', 'promtool'].every((name) => programsOnPath([name], env).length > 0),
  },
  {
    what: 'python3 with Flask: the guide for Flask applications',
    debianPackage: 'python3-flask',
    isMet: finds(findPython),
  },
];

export async function missingNeeds(env: Env, cache = cacheDir): Promise<readonly Need[]> {
  const met = await Promise.all(needs.map((need) => need.isMet(env, cache)));
  return needs.filter((_, index) => !met[index]);
}

/** Lists what is missing. The last line is the one command that installs it. */
export function advice(missing: readonly Need[], isRoot: boolean): string {
  const packages = missing.map(({ debianPackage }) => debianPackage).join(' ');
  return [
    'npm run test:full cannot start. These programs are missing:',
    ...missing.map(({ what }) => `  - ${what}`),
    'On Debian or Ubuntu, install them with:',
    `  ${isRoot ? '' : 'sudo '}apt-get install -y ${packages}`,
  ].join('\n');
}
