import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, inject, it } from 'vitest';
import { problemOf, startRedis, visit } from './web-under-test.ts';

const main = new URL('./main.ts', import.meta.url).pathname;

/** The real process; `output` grows with what it prints. */
function startMain(env: Record<string, string>) {
  const dataDir = mkdtempSync(`${tmpdir()}/recloser-main-`);
  const child = spawn(process.execPath, [main], {
    env: {
      WEB_PORT: '0',
      DATA_DIR: dataDir,
      REDIS_PREFIX: `test-${process.pid}-main`,
      ...env,
    },
  });
  const seen = { output: '' };
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => {
      seen.output += String(text);
    });
  const address = () => /web listens on (http:\/\/[^"\s]+)/.exec(seen.output)?.[1] ?? '';
  return {
    child,
    seen,
    exit: once(child, 'exit'),
    address,
    listening: () => expect.poll(address, { timeout: 15_000 }).toMatch(/^http/),
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  };
}

describe('main', () => {
  it('serves, and stops cleanly on SIGTERM while somebody polls', { timeout: 30_000 }, async () => {
    using web = startMain({ REDIS_URL: inject('redisUrl') });
    await web.listening();
    // It listens before it has its Redis.
    await expect.poll(() => fetch(`${web.address()}/health/ready`).then(({ status }) => status)).toBe(200);
    const response = await fetch(`${web.address()}/v1/calls/crossmark/schedule-event`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ input: visit }),
    });
    expect(response.status).toBe(202);
    const poll = fetch(`${web.address()}${response.headers.get('Location')}?wait=30`);
    await expect.poll(() => fetch(`${web.address()}/health/live`).then(({ status }) => status)).toBe(200);
    web.child.kill('SIGTERM');
    expect((await poll).status).toBe(200);
    expect(await web.exit).toEqual([0, null]);
    expect(web.seen.output).not.toContain(visit.repId);
  });

  it('starts without a Redis, says so, and works once it is there', { timeout: 30_000 }, async () => {
    const gone = await startRedis();
    await gone.kill();
    using web = startMain({ REDIS_URL: gone.url });
    await web.listening();
    const post = () =>
      fetch(`${web.address()}/v1/calls/crossmark/schedule-event`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ input: visit }),
      });
    const startedAt = performance.now();
    expect((await problemOf(post())).code).toBe('storage_unavailable');
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect((await fetch(`${web.address()}/health/ready`)).status).toBe(503);
    using _back = await startRedis('--port', new URL(gone.url).port);
    await expect.poll(async () => (await post()).status, { timeout: 8000 }).toBe(202);
  });

  it('refuses a configuration that is not safe, with a sentence', { timeout: 30_000 }, async () => {
    using web = startMain({ NODE_ENV: 'production', REDIS_URL: inject('redisUrl') });
    expect(await web.exit).toEqual([1, null]);
    expect(web.seen.output).toMatch(/web cannot start[\s\S]*API_KEYS/);
    expect(web.seen.output).not.toContain('    at ');
  });
});
