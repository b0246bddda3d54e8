/**
 * Adds the upstream in `parcels/` to a copy of the sources exactly as docs/add-an-upstream.md says: one folder, and
 * its line in each of the three registries.
 *
 * Always true: the repository itself is not touched; the copy's own packages are its own, everybody else's are ours.
 */
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const sources = ['apps', 'packages', 'tools', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

/** Where the new upstream is named: what to import, and the entry. */
const registries = [
  {
    file: 'definitions.ts',
    line: "import { parcels } from './parcels/definition.ts';",
    after: 'export const definitions = {',
    entry: 'parcels,',
  },
  {
    file: 'clients.ts',
    line: "import { createParcelsClient } from './parcels/client.ts';",
    after: 'const factories = {',
    entry: 'parcels: createParcelsClient,',
  },
  {
    file: 'simulations.ts',
    line: "import { createParcelsSimulation } from './parcels/simulate.ts';",
    after: '(options: SimulationOptions) => Simulation>> = {',
    entry: 'parcels: createParcelsSimulation,',
  },
];

/** A copy of the repository that knows the new upstream; removed when it is disposed of. */
export async function copyWithThirdUpstream(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'recloser-third-'));
  const filter = (from: string) => basename(from) !== 'node_modules';
  for (const name of sources) await cp(join(root, name), join(path, name), { recursive: true, filter });
  await linkModules(path);
  const upstreams = join(path, 'packages/upstreams/src');
  await cp(join(import.meta.dirname, 'parcels'), join(upstreams, 'parcels'), { recursive: true });
  for (const registry of registries) await register(join(upstreams, registry.file), registry);
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

async function linkModules(path: string): Promise<void> {
  const modules = join(path, 'node_modules');
  const own = join(modules, '@recloser');
  await mkdir(own, { recursive: true });
  for (const name of await readdir(join(root, 'node_modules'))) {
    // What tools keep there is written to by a run.
    if (name !== '@recloser' && !['.cache', '.vite', '.vitest'].includes(name))
      await symlink(join(root, 'node_modules', name), join(modules, name));
  }
  for (const folder of ['apps', 'packages', 'tools']) {
    for (const name of await readdir(join(path, folder))) {
      // A workspace that has moved leaves its caches behind.
      if (!existsSync(join(path, folder, name, 'package.json'))) continue;
      await symlink(join(path, folder, name), join(own, name));
    }
  }
}

async function register(
  file: string,
  { line, after, entry }: Record<'line' | 'after' | 'entry', string>,
): Promise<void> {
  const text = await readFile(file, 'utf8');
  if (!text.includes(after)) throw new Error(`${basename(file)} has no "${after}" any more`);
  const [first = ''] = /^import .*$/m.exec(text) ?? [];
  await writeFile(file, text.replace(first, `${line}\n${first}`).replace(after, `${after}\n  ${entry}`));
}
