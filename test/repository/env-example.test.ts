/** Checks that .env.example has exactly the variables that the code reads. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv as parseDotEnv } from 'node:util';
import { envFields } from '@recloser/runtime/env/env';
import { upstreamSettings, upstreamVariables } from '@recloser/upstreams/contract/settings';
import type { UpstreamDefinition } from '@recloser/upstreams/contract/upstream';
import { definitions } from '@recloser/upstreams/definitions';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const example = parseDotEnv(readFileSync(join(root, '.env.example'), 'utf8'));
const configFiles = globSync('apps/*/src/config.ts', { cwd: root }).map((path) => join(root, path));
const upstreams: readonly UpstreamDefinition[] = Object.values(definitions);

/** Variables of the operating system and other programs. */
const foreign = new Set(['PATH', 'HOME', 'CI']);

/** Finds the fields of the apps' schemas, and every `env.NAME` in the product. */
function namesInSource(): string[] {
  const fields = configFiles.flatMap((path) => matches(path, /\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+):\s/g));
  const sources = globSync('{apps,packages,tools}/*/src/**/*.ts', { cwd: root }).filter(
    (path) => !path.endsWith('.test.ts'),
  );
  const reads = sources.flatMap((path) => matches(join(root, path), /\benv\.([A-Z][A-Z0-9_]+)\b/g));
  return [...fields, ...reads];
}

function matches(path: string, pattern: RegExp): string[] {
  return [...readFileSync(path, 'utf8').matchAll(pattern)].map(([, name]) => name ?? '');
}

describe('.env.example', () => {
  test('has exactly the variables that the code reads', () => {
    const read = new Set(
      [...Object.keys(envFields), ...namesInSource(), ...upstreams.flatMap(upstreamVariables)].filter(
        (name) => !foreign.has(name),
      ),
    );
    expect(Object.keys(example).toSorted()).toEqual([...read].toSorted());
  });

  test('the scan finds schema fields, direct reads and upstream settings', () => {
    expect(configFiles.length).toBeGreaterThanOrEqual(4);
    expect(namesInSource()).toEqual(
      expect.arrayContaining(['WEB_PORT', 'API_KEYS', 'WORKER_CONCURRENCY', 'SIMULATOR_PORT']),
    );
    expect(upstreams.flatMap(upstreamVariables)).toEqual(
      expect.arrayContaining(['CROSSMARK_BASE_URL', 'WALMART_EDR_MFA_CREDENTIAL_ID']),
    );
  });

  test.each(configFiles)('tells the defaults of %s', async (path) => {
    const exported = (await import(path)) as Record<string, unknown>;
    const parse = exported.parseConfig;
    if (typeof parse !== 'function') throw new Error(`${path} exports no parseConfig`);
    expect(parse(example)).toEqual(parse({}));
  });

  test.each(upstreams)('tells the defaults of upstream $name', (definition) => {
    expect(upstreamSettings(definition, example)).toEqual(upstreamSettings(definition, {}));
  });

  test('contains no secret', () => {
    const secrets = Object.entries(example).filter(([name]) =>
      /PASSWORD|SESSION_KEY|API_KEYS|USERS|USERNAME|CREDENTIAL/.test(name),
    );
    expect(secrets.length).toBeGreaterThan(5);
    for (const [name, value] of secrets) expect([name, value]).toEqual([name, '']);
  });
});
