/** API keys, scopes and rate limits. */
import { createHash } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, it, vi } from 'vitest';
import { callOf, problemOf, startWeb, visit } from '../../test-kit/web-under-test.ts';
import { parseApiKeys } from './api-keys.ts';
import { createKeyRing } from './key-ring.ts';

const redisUrl = inject('redisUrl');
const path = '/v1/calls/crossmark/schedule-event';
const log = { info: vi.fn(), error: vi.fn() };

function entry(name: string, secret: string, scopes = ''): string {
  return `${name}:${createHash('sha256').update(secret).digest('hex')}${scopes && `:${scopes}`}`;
}

function keysOf(...entries: string[]) {
  const parsed = parseApiKeys(entries.join(','));
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.keys;
}

const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });

describe('scopes', () => {
  it('limit a key to its scopes', async () => {
    const apiKeys = keysOf(
      entry('s', 'submit-key', 'submit'),
      entry('r', 'read-key', 'read'),
      entry('o', 'operate-key', 'operate'),
      entry('all', 'any-key'),
    );
    await using web = await startWeb({ redisUrl, apiKeys });
    const { id } = await callOf(web.post(path, { input: visit }, bearer('submit-key')));
    const asks: [string, (key: Record<string, string>) => Promise<Response>][] = [
      ['submit', (key) => web.post(path, { input: visit }, key)],
      ['submit', (key) => web.post('/v1/calls:batch', { items: [] }, key)],
      ['read', (key) => web.get(`/v1/calls/${id}`, key)],
      ['read', (key) => web.get('/v1/calls', key)],
      ['read', (key) => web.get('/v1/upstreams', key)],
      ['operate', (key) => web.post(`/v1/calls/${id}/retry`, '', key)],
      ['operate', (key) => web.delete(`/v1/calls/${id}`, key)],
    ];
    for (const [scope, ask] of asks) {
      for (const one of ['submit', 'read', 'operate', 'any']) {
        const response = await ask(bearer(`${one}-key`));
        if (one === scope || one === 'any') expect(response.status).not.toBe(403);
        else {
          expect(response.status).toBe(403);
          expect(response.headers.get('WWW-Authenticate')).toContain(`scope="${scope}"`);
          expect((await problemOf(response)).code).toBe('insufficient_scope');
        }
      }
    }
    expect((await callOf(web.get(`/v1/calls/${id}`, bearer('read-key')))).error?.message).toMatch(
      /by (o|all)\./,
    );
    for (const open of ['/health/live', '/openapi.json', '/docs'])
      expect((await web.get(open)).status).toBe(200);
  });

  it('do not let a page of another origin use an API without keys', async () => {
    await using web = await startWeb({ redisUrl });
    const { id } = await callOf(web.post(path, { input: visit }));
    const evil = { Origin: 'https://evil.example' };
    expect((await web.post(`/v1/calls/${id}/retry`, '', evil)).status).toBe(403);
    expect((await web.delete(`/v1/calls/${id}`, { Origin: 'http://localhost:5000' })).status).toBe(200);
  });
});

describe('a file of keys', () => {
  it('is reloaded when it changes; an invalid change and an empty file grant no new access', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'recloser-keys-'));
    const file = join(folder, 'keys');
    /** Atomically: a file is empty while it is being written, and an empty file grants no access. */
    const replace = async (text: string) => {
      await writeFile(`${file}.new`, text);
      await rename(`${file}.new`, file);
    };
    await replace(`${entry('app', 'old')} # to be replaced\n`);
    const ring = createKeyRing({ keys: [], file, log, intervalMs: 20 });
    await using web = await startWeb({ redisUrl, keys: ring });
    const status = async (secret: string) => (await web.get('/v1/upstreams', bearer(secret))).status;
    expect([await status('old'), await status('new')]).toEqual([200, 401]);
    await replace(`${entry('app', 'old')}\n${entry('app', 'new', 'read')}\n`);
    await expect.poll(() => Promise.all([status('old'), status('new')])).toEqual([200, 200]);
    await replace('rubbish that is no key at all');
    await expect.poll(() => log.error.mock.calls.length).toBeGreaterThan(0);
    expect(await status('new')).toBe(200);
    await replace('# nobody any more\n');
    await expect.poll(() => status('new')).toBe(401);
    expect((await web.get('/v1/upstreams')).status).toBe(401);
    ring.stop();
    await rm(folder, { recursive: true });
    expect(() => createKeyRing({ keys: [], file, log })).toThrow(/API_KEYS_FILE/);
  });
});

describe('a rate limit', () => {
  it('counts each key separately and reports the limit in headers', async () => {
    const apiKeys = keysOf(entry('a', 'key-a'), entry('b', 'key-b'));
    await using web = await startWeb({ redisUrl, apiKeys, perMinute: 5 });
    const answers: Response[] = [];
    for (let n = 0; n < 6; n += 1) answers.push(await web.get('/v1/upstreams', bearer('key-a')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
    expect(answers[0]?.headers.get('RateLimit-Policy')).toBe('"requests";q=5;w=60');
    expect(answers[1]?.headers.get('RateLimit')).toMatch(/^"requests";r=3;t=([1-9]|[1-5]\d|60)$/);
    expect(answers[5]?.headers.get('Retry-After')).toMatch(/^([1-9]|[1-5]\d|60)$/);
    expect((await problemOf(answers[5] as Response)).code).toBe('rate_limited');
    expect((await web.get('/v1/upstreams', bearer('key-b'))).status).toBe(200);
    expect((await web.get('/health')).status).toBe(200);
  });

  it('counts every item of a batch, and does nothing without a limit', async () => {
    await using web = await startWeb({ redisUrl, perMinute: 10 });
    const items = Array.from({ length: 6 }, () => ({
      upstream: 'crossmark',
      operation: 'schedule-event',
      input: visit,
    }));
    expect((await web.post('/v1/calls:batch', { items })).status).toBe(202);
    expect((await web.post('/v1/calls:batch', { items })).status).toBe(429);
    expect(await web.upstream().queue.getJobCountByTypes()).toBe(6);
    await using free = await startWeb({ redisUrl });
    expect((await free.get('/v1/upstreams')).headers.get('RateLimit')).toBeNull();
  });
});
