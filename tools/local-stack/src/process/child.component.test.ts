import { afterEach, describe, expect, test } from 'vitest';
import { type ChildExit, type ChildHandle, describeExit, startChild } from './child.ts';
import { freePort } from './free-port.ts';
import { waitUntilReady } from './wait-until-ready.ts';

const started: ChildHandle[] = [];
afterEach(() => Promise.all(started.splice(0).map((child) => child.stop(0))));

function start(script: string, more: Partial<Parameters<typeof startChild>[0]> = {}): ChildHandle {
  const child = startChild({
    name: 'child',
    file: process.execPath,
    args: ['-e', script],
    cwd: '/',
    env: process.env,
    ...more,
  });
  started.push(child);
  return child;
}

/** Resolves once the child has written its first line. */
async function startAndHear(
  script: string,
  more: Partial<Parameters<typeof startChild>[0]> = {},
): Promise<ChildHandle> {
  const heard = Promise.withResolvers<void>();
  const child = start(script, { ...more, onLine: () => heard.resolve() });
  await heard.promise;
  return child;
}

describe('startChild', () => {
  test('keeps both streams line by line and reports the exit status', async () => {
    const heard: string[] = [];
    const child = start('console.log("one"); console.error("two"); process.exitCode = 3', {
      onLine: (name, line) => heard.push(`${name} ${line}`),
    });
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(child.hasExited).toBe(true);
    expect(child.lines.toSorted()).toEqual(['one', 'two']);
    expect(heard.toSorted()).toEqual(['child one', 'child two']);
  });

  test('reports an unexpected exit with the last output', async () => {
    const told = Promise.withResolvers<string>();
    start('console.log("last words"); process.exit(7)', {
      onUnexpectedExit: (child, exit) => told.resolve(describeExit(child, exit)),
    });
    expect(await told.promise).toBe('child exited unexpectedly (exit status 7)\n    last words');
  });

  test('an exit caused by stop or signal is expected', async () => {
    const told: ChildExit[] = [];
    const onUnexpectedExit = (_: ChildHandle, exit: ChildExit) => told.push(exit);
    const first = start('setInterval(() => {}, 1000)', { onUnexpectedExit });
    const second = start('setInterval(() => {}, 1000)', { onUnexpectedExit });
    expect(await first.stop(60_000)).toEqual({ code: null, signal: 'SIGTERM' });
    second.signal('SIGKILL');
    expect(await second.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(told).toEqual([]);
  });

  test('stop sends SIGKILL after the deadline, and thaws a frozen child', async () => {
    const deaf = await startAndHear(
      'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("up")',
    );
    expect(await deaf.stop(30)).toEqual({ code: null, signal: 'SIGKILL' });
    const frozen = await startAndHear(
      'process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1000); console.log("up")',
    );
    frozen.signal('SIGSTOP');
    expect(await frozen.stop(60_000)).toEqual({ code: 0, signal: null });
  });

  test('a program that does not exist exits at once', async () => {
    const child = start('', { file: '/nowhere' });
    expect(await child.exited).toEqual({ code: 1, signal: null });
    expect(child.lines.join()).toContain('ENOENT');
  });
});

describe('waitUntilReady', () => {
  const server = (port: number, answer: string) =>
    `require('http').createServer((request, response) => { ${answer} }).listen(${port}, '127.0.0.1')`;

  test('waits for an answer below 500', async () => {
    const port = await freePort();
    const child = start(
      `let asked = 0; ${server(port, 'response.statusCode = asked++ < 3 ? 503 : 200; response.end()')}`,
    );
    const ready = waitUntilReady(child, `http://127.0.0.1:${port}`, 30_000);
    await expect(ready).resolves.toBeUndefined();
  });

  test('fails at once when the child exits, with its last output', async () => {
    const child = start('console.error("no configuration"); process.exit(1)');
    const ready = waitUntilReady(child, `http://127.0.0.1:${await freePort()}`, 60_000);
    await expect(ready).rejects.toMatchObject({
      code: 'not_ready',
      message: expect.stringContaining('no configuration'),
    });
  });

  test('fails at the deadline, with the last answer', async () => {
    const port = await freePort();
    const child = await startAndHear(
      `${server(port, 'response.statusCode = 503; response.end("Redis is gone")')}.on('listening', () => console.log('up'))`,
    );
    await expect(waitUntilReady(child, `http://127.0.0.1:${port}`, 300)).rejects.toThrow(
      '503: Redis is gone',
    );
  });
});
