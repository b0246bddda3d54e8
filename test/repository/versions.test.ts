/** Checks that the manifests and the lock file have one exact version of each package. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

type Manifest = {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};
type Lock = {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly resolved?: string }>>;
};

const root = join(import.meta.dirname, '../..');
const manifests = [
  'package.json',
  ...globSync('{apps,packages,tools}/*/package.json', { cwd: root }),
  'test/package.json',
];
const lock = readJson<Lock>('package-lock.json');

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(join(root, path), 'utf8')) as T;
}

function wanted({ dependencies, devDependencies, optionalDependencies }: Manifest): [string, string][] {
  return Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
}

/** Returns all versions of a package in the lock file, including nested ones. */
function lockedVersions(name: string): string[] {
  const entries = Object.entries(lock.packages).filter(([path]) => path.endsWith(`node_modules/${name}`));
  return [...new Set(entries.map(([, { version }]) => version ?? 'none'))];
}

describe('versions', () => {
  test('the workspaces are found', () => {
    expect(manifests.length).toBeGreaterThanOrEqual(10);
  });

  test.each(manifests)('%s pins exact versions, and does not pin our own workspaces', (path) => {
    const loose = wanted(readJson<Manifest>(path)).filter(([name, version]) =>
      name.startsWith('@recloser/') ? version !== '*' : !/^\d+\.\d+\.\d+$/.test(version),
    );
    expect(loose).toEqual([]);
  });

  test('no dependency is required in two versions', () => {
    const versions = new Map<string, Set<string>>();
    for (const path of manifests) {
      for (const [name, version] of wanted(readJson<Manifest>(path))) {
        versions.set(name, (versions.get(name) ?? new Set()).add(version));
      }
    }
    const several = [...versions].filter(([, found]) => found.size > 1).map(([name]) => name);
    expect(several).toEqual([]);
  });

  test.each(['bullmq', 'ioredis', 'zod', 'express'])('the lock file has one version of %s', (name) => {
    expect(lockedVersions(name)).toHaveLength(1);
  });

  test('the pinned Node has one version on all platforms', () => {
    const { optionalDependencies = {} } = readJson<Manifest>('package.json');
    expect(Object.keys(optionalDependencies).length).toBeGreaterThanOrEqual(4);
    expect(new Set(Object.values(optionalDependencies)).size).toBe(1);
  });

  test('the lock file names no registry', () => {
    const named = Object.entries(lock.packages).filter(([, { resolved }]) => resolved?.startsWith('http'));
    expect(named.map(([path]) => path)).toEqual([]);
  });
});
