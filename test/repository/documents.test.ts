/** Checks that the links and npm scripts in the documents exist. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const documents = globSync(['*.md', 'docs/**/*.md', '{apps,packages,tools}/**/*.md'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
});
const decisions = globSync('docs/decisions/*.md', { cwd: root }).toSorted();

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Removes code blocks. */
function prose(path: string): string {
  return read(path).replace(/^```[\s\S]*?^```/gm, '');
}

/** Returns the headings as GitHub's anchors. */
function anchors(path: string): string[] {
  return [...prose(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
}

/** Returns why a link is broken, or undefined. */
function broken(from: string, link: string): string | undefined {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? from : join(dirname(from), decodeURIComponent(path));
  if (!existsSync(join(root, target))) return `${link}: there is no ${target}`;
  if (anchor && target.endsWith('.md') && !anchors(target).includes(anchor))
    return `${link}: no such heading`;
  return undefined;
}

describe('documents', () => {
  test.each([
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'docs/architecture.md',
    'docs/docker.md',
    'docs/errors.md',
  ])('%s exists', (path) => {
    expect(documents).toContain(path);
  });

  test.each(documents)('the links in %s work', (path) => {
    const links = [...prose(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
    const local = links.filter((link) => !/^[a-z]+:/i.test(link));
    expect(local.map((link) => broken(path, link)).filter(Boolean)).toEqual([]);
  });

  test.each(documents)('the npm scripts in %s exist', (path) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...read(path).matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  test('the changelog has an Unreleased section', () => {
    expect(read('CHANGELOG.md')).toMatch(/^## \[Unreleased\]$/m);
  });
});

describe('decisions', () => {
  test('are numbered without gaps', () => {
    const numbers = decisions.map((path) => /\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1]);
    expect(numbers).toEqual(decisions.map((_, index) => String(index + 1).padStart(4, '0')));
  });

  test.each(decisions)('%s is short: context, decision, consequences', (path) => {
    const text = read(path);
    const number = Number(/\/(\d{4})-/.exec(path)?.[1]);
    expect(text).toMatch(new RegExp(`^# ${number}\\. `));
    for (const part of ['Context', 'Decision', 'Consequences']) expect(text).toContain(`**${part}.**`);
    expect(text.split('\n').length).toBeLessThan(40);
  });
});
