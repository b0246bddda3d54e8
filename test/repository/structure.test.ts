/** Checks the rules of docs/architecture.md: small folders, and imports without cycles. */
import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const mostFiles = 16;
const sources = globSync('{apps,packages,tools}/*/src/**/*.{ts,js,lua,css}', { cwd: root }).filter(
  (path) => !path.endsWith('.test.ts'),
);
const code = sources.filter((path) => /\.(ts|js)$/.test(path));

/** The targets of each node. */
type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** Returns our own files that a file imports, types included, as paths from the root. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(root, path), 'utf8');
  const found = text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'((?:\.{1,2}|@recloser)\/[^']+)'/g);
  return [...found].map(([, name = '']) => {
    const [, workspace, file] = /^@recloser\/([^/]+)\/(.+)$/.exec(name) ?? [];
    if (!workspace) return posix.join(posix.dirname(path), name);
    const kinds = ['apps', 'packages', 'tools'];
    const candidates = kinds.map((kind) => `${kind}/${workspace}/src/${file}.ts`);
    return candidates.find((candidate) => sources.includes(candidate)) ?? name;
  });
}

const files: Graph = new Map(code.map((path) => [path, new Set(importsOf(path))]));

function foldersOf(graph: Graph): Graph {
  const folders = new Map<string, Set<string>>();
  for (const [path, targets] of graph) {
    const from = posix.dirname(path);
    const reached = folders.get(from) ?? new Set();
    for (const target of targets) if (posix.dirname(target) !== from) reached.add(posix.dirname(target));
    folders.set(from, reached);
  }
  return folders;
}

/** Returns each cycle once, as its path. */
function circles(graph: Graph): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const way: string[] = [];
  function visit(node: string): void {
    const seenAt = way.indexOf(node);
    if (seenAt >= 0) found.push([...way.slice(seenAt), node].join(' -> '));
    if (seenAt >= 0 || done.has(node)) return;
    way.push(node);
    for (const target of graph.get(node) ?? []) visit(target);
    way.pop();
    done.add(node);
  }
  for (const node of graph.keys()) visit(node);
  return found;
}

describe('imports', () => {
  test('are all found', () => {
    const targets = [...files.values()].flatMap((reached) => [...reached]);
    expect(targets.length).toBeGreaterThan(500);
    expect(targets.filter((target) => !sources.includes(target))).toEqual([]);
  });

  test('of files have no cycle', () => {
    expect(circles(files)).toEqual([]);
  });

  test('of folders have no cycle', () => {
    expect(circles(foldersOf(files))).toEqual([]);
  });

  test('a cycle would be found', () => {
    const ring = { a: ['b'], b: ['c'], c: ['b'] };
    const graph = new Map(Object.entries(ring).map(([node, targets]) => [node, new Set(targets)]));
    expect(circles(graph)).toEqual(['b -> c -> b']);
  });
});

describe('folders', () => {
  test(`have at most ${mostFiles} files each, tests not counted`, () => {
    const inside = Map.groupBy(sources, (path) => posix.dirname(path));
    const full = [...inside].filter(([, paths]) => paths.length > mostFiles);
    expect(full.map(([folder, paths]) => `${folder}: ${paths.length}`)).toEqual([]);
  });

  test('contain no test kits', () => {
    const kits = code.filter((path) =>
      /from '(vitest|fast-check|@recloser\/test\/.*)'/.test(readFileSync(join(root, path), 'utf8')),
    );
    expect(kits).toEqual([]);
  });
});
