/** Checks house rules that the linter cannot check. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const maxLines = 300;
const product = globSync(['{apps,packages,tools}/*/src/**/*.{ts,lua}', 'scripts/*.mjs', 'docker/*.mjs'], {
  cwd: root,
}).filter((path) => !path.endsWith('.test.ts'));
const tests = globSync(['{apps,packages,tools}/*/src/**/*.test.ts', 'test/**/*.test.ts'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
});

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

describe('sources', () => {
  test('are found', () => {
    expect(product.length).toBeGreaterThan(100);
    expect(tests.length).toBeGreaterThan(20);
  });

  test(`have at most ${maxLines} lines each`, () => {
    const long = product.map((path) => ({ path, lines: read(path).trimEnd().split('\n').length }));
    expect(long.filter(({ lines }) => lines > maxLines)).toEqual([]);
  });

  test('leave nothing for later', () => {
    const mark = new RegExp(
      `\\b(${['TO', 'FIX'].map((word) => `${word}${word === 'TO' ? 'DO' : 'ME'}`).join('|')})\\b`,
    );
    expect([...product, ...tests].filter((path) => mark.test(read(path)))).toEqual([]);
  });
});

describe('tests', () => {
  const words = 'skip|skipIf|runIf|only|todo|fails';
  /** Matches a skip on a test or a suite, by the test's context, or as an option. */
  const leftOut = new RegExp(
    `\\b(test|it|describe|suite)(\\.\\w+)*\\.(${words})\\b|\\b(context|ctx|task)\\.skip\\(|\\bskip\\(|\\b(${words}): true\\b`,
  );

  test('are never skipped, exclusive or postponed', () => {
    expect(tests.filter((path) => leftOut.test(read(path)))).toEqual([]);
  });

  test('mock no module', () => {
    expect(tests.filter((path) => /\bvi\.(mock|doMock|hoisted)\(/.test(read(path)))).toEqual([]);
  });
});

describe('biome.jsonc', () => {
  test('gives a reason for every disabled rule', () => {
    const lines = read('biome.jsonc').split('\n');
    const off = lines.flatMap((line, index) => (/:\s*"off"/.test(line) ? [index] : []));
    expect(off.length).toBeGreaterThan(0);
    const unexplained = off.filter((index) => !lines[index - 1]?.trim().startsWith('//'));
    expect(unexplained.map((index) => lines[index])).toEqual([]);
  });
});
