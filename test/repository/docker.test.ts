/** Compares the image and the compose files with the code. Running them is a manual test: docs/docker.md. */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const dockerfile = read('Dockerfile');
const development = read('docker-compose.yml');
const production = read('docker-compose.production.yml');

/** Variables that are fixed inside a container, or have no use there. */
const notForCompose = new Set(['DATA_DIR', 'LOG_PRETTY', 'WORKER_HEALTH_PORT']);

/** Commands that an operator runs in a container. */
const commands = ['tools/doctor', 'tools/after-restore'];

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Returns a service or a shared part of a compose file, as text. */
function section(text: string, name: string): string {
  const found = new RegExp(`^( {0,2})${name}:.*\\n(?:(?:\\1 +.*)?\\n)*`, 'm').exec(text)?.[0];
  if (!found) throw new Error(`there is no ${name}`);
  return found;
}

describe('Dockerfile', () => {
  test('has the pinned Node version', () => {
    const { optionalDependencies } = JSON.parse(read('package.json')) as {
      optionalDependencies: Record<string, string>;
    };
    const pinned = Object.values(optionalDependencies).map((version) => version.split('.')[0]);
    const bases = [...dockerfile.matchAll(/^FROM node:(\d+)/gm)].map(([, major]) => major);
    expect(bases.length).toBeGreaterThan(0);
    expect(new Set(bases)).toEqual(new Set(pinned));
  });

  test('installs what each app needs, and does not run as root', () => {
    for (const app of [...globSync('apps/*', { cwd: root }), ...commands])
      expect(dockerfile).toContain(`--workspace ${app}`);
    expect(dockerfile).toMatch(/^USER node$/m);
    expect(dockerfile).toContain('NODE_ENV=production');
  });

  test('contains no tests, no test kits, and no development tools', () => {
    const ignored = read('.dockerignore').split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['**/*.test.ts', '**/test-kit', 'tools/local-stack/src']));
  });

  test('contains no secrets or local data', () => {
    const ignored = read('.dockerignore').split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['*', '**/.env*', '**/node_modules']));
  });
});

describe('compose files', () => {
  test('have a service with a health check for every app', () => {
    const services = globSync('*', { cwd: join(root, 'apps') });
    expect(services.length).toBeGreaterThan(0);
    for (const app of services) {
      expect(section(development, app)).toContain(`apps/${app}/src/main.ts`);
      expect(section(development, app)).toContain('docker/healthy.mjs');
    }
  });

  test('set every variable of .env.example', () => {
    const names = Object.keys(parseEnv(read('.env.example'))).filter((name) => !notForCompose.has(name));
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(development + production))).toEqual([]);
  });

  test('publish ports on loopback only', () => {
    const ports = [...development.matchAll(/ports: \["(.*)"\]/g)].map(([, port]) => port);
    expect(ports).toHaveLength(3);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    expect(production).not.toContain('ports:');
  });

  test('run Redis with an append-only file and without eviction', () => {
    const redis = section(development, 'redis');
    for (const flag of ['--appendonly yes', '--appendfsync always', '--maxmemory-policy noeviction']) {
      expect(redis).toContain(flag);
    }
  });

  test('have the documented API key in development, and none in production', () => {
    const digest = createHash('sha256').update('recloser-development').digest('hex');
    expect(section(development, 'web')).toContain(`development:${digest}`);
    expect(read('docs/docker.md')).toContain('Bearer recloser-development');
    expect(production).not.toContain(digest);
    expect(section(production, 'web')).toContain('${API_KEYS:?');
    expect(production).toContain('${SESSION_KEY:?');
  });

  test('give the credentials of upstreams only to workers', () => {
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
