/** Holds the image and the compose files to the code. Whether containers run is tried by hand: docs/docker.md. */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const dockerfile = read('Dockerfile');
const development = read('docker-compose.yml');
const production = read('docker-compose.production.yml');

/** Fixed inside a container, or of no use there. */
const notForCompose = new Set(['DATA_DIR', 'LOG_PRETTY', 'WORKER_HEALTH_PORT']);

/** Tools that an operator runs in a container: they look, print and end. */
const commands = ['tools/doctor', 'tools/after-restore'];

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** One service of a compose file, or one of its shared parts, as text. */
function section(text: string, name: string): string {
  const found = new RegExp(`^( {0,2})${name}:.*\\n(?:(?:\\1 +.*)?\\n)*`, 'm').exec(text)?.[0];
  if (!found) throw new Error(`there is no ${name}`);
  return found;
}

describe('Dockerfile', () => {
  test('brings the Node that the code is pinned to', () => {
    const { optionalDependencies } = JSON.parse(read('package.json')) as {
      optionalDependencies: Record<string, string>;
    };
    const pinned = Object.values(optionalDependencies).map((version) => version.split('.')[0]);
    const bases = [...dockerfile.matchAll(/^FROM node:(\d+)/gm)].map(([, major]) => major);
    expect(bases.length).toBeGreaterThan(0);
    expect(new Set(bases)).toEqual(new Set(pinned));
  });

  test('installs what each app needs, and runs without rights', () => {
    for (const app of [...globSync('apps/*', { cwd: root }), ...commands])
      expect(dockerfile).toContain(`--workspace ${app}`);
    expect(dockerfile).toMatch(/^USER node$/m);
    expect(dockerfile).toContain('NODE_ENV=production');
  });

  test('carries no tests, no test kits, and no tool that only starts others', () => {
    const ignored = read('.dockerignore').split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['**/*.test.ts', '**/test-kit', 'tools/local-stack/src']));
  });

  test('takes no secret or local data along', () => {
    const ignored = read('.dockerignore').split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['*', '**/.env*', '**/node_modules']));
  });
});

describe('compose files', () => {
  test('every app that keeps running has a service with a health check', () => {
    const services = globSync('*', { cwd: join(root, 'apps') });
    expect(services.length).toBeGreaterThan(0);
    for (const app of services) {
      expect(section(development, app)).toContain(`apps/${app}/src/main.ts`);
      expect(section(development, app)).toContain('docker/healthy.mjs');
    }
  });

  test('every variable of .env.example can be set in one of them', () => {
    const names = Object.keys(parseEnv(read('.env.example'))).filter((name) => !notForCompose.has(name));
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(development + production))).toEqual([]);
  });

  test('ports are open on this machine only', () => {
    const ports = [...development.matchAll(/ports: \["(.*)"\]/g)].map(([, port]) => port);
    expect(ports).toHaveLength(3);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    expect(production).not.toContain('ports:');
  });

  test('Redis keeps what it has acknowledged', () => {
    const redis = section(development, 'redis');
    for (const flag of ['--appendonly yes', '--appendfsync always', '--maxmemory-policy noeviction']) {
      expect(redis).toContain(flag);
    }
  });

  test('the key of development is the documented one, and production has none of its own', () => {
    const digest = createHash('sha256').update('recloser-development').digest('hex');
    expect(section(development, 'web')).toContain(`development:${digest}`);
    expect(read('docs/docker.md')).toContain('Bearer recloser-development');
    expect(production).not.toContain(digest);
    expect(section(production, 'web')).toContain('${API_KEYS:?');
    expect(production).toContain('${SESSION_KEY:?');
  });

  test('only workers get the credentials of upstreams', () => {
    const secret = /\b(?!ADMIN_|REDIS_)[A-Z_]+_(USERNAME|PASSWORD|MFA_CREDENTIAL_ID)\b/;
    for (const service of ['web', 'admin', 'simulator']) {
      const theirs = section(development, service) + section(production, service);
      expect(theirs).not.toMatch(secret);
    }
    for (const shared of ['x-every-app', 'x-upstreams']) {
      expect(section(development, shared) + section(production, shared)).not.toMatch(secret);
    }
    expect(section(production, 'worker')).toMatch(secret);
  });
});
