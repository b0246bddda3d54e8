/** Checks that Node and the installed packages are the versions that this release was tested with. Reads files only. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, fail, ok, warn } from './finding.ts';

type Lock = {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly link?: boolean; readonly integrity?: string }>
  >;
};

/**
 * @param root the repository's folder
 * @param node the running version, such as `v26.10.0`
 */
export function checkVersions(root: string, node: string): Finding[] {
  const installed = readJson<Lock>(join(root, 'node_modules/.package-lock.json'));
  if (!installed) return [fail('packages', 'node_modules was not installed by npm ci', 'run npm ci')];
  return [checkNode(root, node), checkBullMq(installed), checkInstalled(root, installed)];
}

function checkNode(root: string, node: string): Finding {
  const manifest = readJson<{ optionalDependencies?: Record<string, string> }>(join(root, 'package.json'));
  const pinned = Object.values(manifest?.optionalDependencies ?? {})[0];
  if (!pinned || major(node) === major(pinned)) return ok('node', `Node ${node.replace(/^v/, '')}`);
  return warn(
    'node',
    `Node ${node.replace(/^v/, '')} is running; this release is tested with ${pinned}`,
    'start the apps with npm run, which uses the tested Node, or use an image of that version',
  );
}

function checkBullMq({ packages }: Lock): Finding {
  const entries = Object.entries(packages).filter(([path]) => path.endsWith('node_modules/bullmq'));
  const versions = [...new Set(entries.map(([, { version }]) => version ?? 'unknown'))];
  if (versions.length === 1) return ok('bullmq', `one version, ${versions[0]}`);
  return fail(
    'bullmq',
    `${versions.length} versions are installed (${versions.join(', ')}): they may store data in different formats`,
    'run npm ci with the package-lock.json of this release',
  );
}

function checkInstalled(root: string, installed: Lock): Finding {
  const wanted = readJson<Lock>(join(root, 'package-lock.json'));
  if (!wanted) return ok('packages', 'installed; not compared, because there is no package-lock.json');
  const others = Object.entries(installed.packages).filter(([path, { version, link }]) => {
    return path.includes('node_modules/') && !link && wanted.packages[path]?.version !== version;
  });
  if (others.length === 0) return ok('packages', 'installed packages match package-lock.json');
  const names = others.slice(0, 3).map(([path]) => path.replace(/.*node_modules\//, ''));
  return fail(
    'packages',
    `${others.length} installed packages differ from package-lock.json (${names.join(', ')} …)`,
    'run npm ci',
  );
}

function major(version: string): number {
  return Number(version.replace(/^v/, '').split('.')[0]);
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
