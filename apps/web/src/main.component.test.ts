import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
// @boundaries-ignore Tests beside the code start servers as all other tests do.
import { startRedisServer } from '../../../test/support/redis/redis-server.ts';
import { problemOf, visit } from '../test-kit/web-under-test.ts';

const compiled = new URL('../../../.cache/compiled', import.meta.url).pathname;
const main = new URL('./main.ts', import.meta.url).pathname;

/** The real process. `output` collects what it prints. */
function startMain(env: Record<string, string>) {
  const dataDir = mkdtempSync(`${tmpdir()}/recloser-main-`);
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  const child = spawn(process.execPath, [main], {
    env: {
      // A compile cache, as in npm start, halves the start time.
      NODE_COMPILE_CACHE: compiled,
      WEB_PORT: '0',
      DATA_DIR: dataDir,
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
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  };
}

function post(address: string): Promise<Response> {
  return fetch(`${address}/v1/calls/crossmark/schedule-event`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ input: visit }),
  });
}

describe('main', () => {
  it('starts without Redis, serves once Redis is available, and stops cleanly during a long poll', async () => {
    const gone = await startRedisServer();
    await gone.kill();
    using web = startMain({ REDIS_URL: gone.url });
    await expect.poll(web.address).toMatch(/^http/);
    expect((await problemOf(post(web.address()))).code).toBe('storage_unavailable');
    expect((await fetch(`${web.address()}/health/ready`)).status).toBe(503);
    const redis = await startRedisServer({ port: gone.port });
    await expect.poll(async () => (await fetch(`${web.address()}/health/ready`)).status).toBe(200);
    const response = await post(web.address());
    expect(response.status).toBe(202);
    const poll = fetch(`${web.address()}${response.headers.get('Location')}?wait=30`);
    // The process reads the events of calls once somebody waits for one.
    const operator = redis.connect();
    await expect.poll(async () => String(await operator.client('LIST'))).toContain('cmd=xread');
    web.child.kill('SIGTERM');
    expect((await poll).status).toBe(200);
    expect(await web.exit).toEqual([0, null]);
    expect(web.seen.output).not.toContain(visit.repId);
  });

  it('refuses an unsafe configuration with a message', async () => {
    using web = startMain({ NODE_ENV: 'production', REDIS_URL: inject('redisUrl') });
    expect(await web.exit).toEqual([1, null]);
    expect(web.seen.output).toMatch(/web cannot start[\s\S]*API_KEYS/);
    expect(web.seen.output).not.toContain('    at ');
  });
});
