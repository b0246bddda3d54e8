import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { runUntilSignal } from './shutdown.ts';

class FakeProcess extends EventEmitter {
  readonly codes: number[] = [];
  readonly exited = once(this, 'exited');
  exit(code: number): void {
    this.codes.push(code);
    this.emit('exited');
  }
}

function setup(stop: () => Promise<void>, { deadlineMs = 60_000, sameSignalMs = 0 } = {}) {
  const target = new FakeProcess();
  const messages: string[] = [];
  const note = (_: object, message: string) => void messages.push(message);
  const release = runUntilSignal({
    stop,
    deadlineMs,
    sameSignalMs,
    target,
    log: { info: note, warn: note, error: note, fatal: note },
  });
  return { target, messages, release };
}

describe('runUntilSignal', () => {
  test.each(['SIGTERM', 'SIGINT'])('%s stops once and exits with 0', async (signal) => {
    let stops = 0;
    const { target } = setup(async () => void stops++);
    target.emit(signal);
    await target.exited;
    expect([stops, target.codes]).toEqual([1, [0]]);
  });

  test('a second signal exits at once with 1, and stop runs only once', async () => {
    let stops = 0;
    const { target } = setup(() => new Promise(() => void stops++));
    target.emit('SIGINT');
    target.emit('SIGTERM');
    expect([stops, target.codes]).toEqual([1, [1]]);
  });

  test('one key press that the terminal and npm both deliver counts once', async () => {
    const { target } = setup(async () => {}, { sameSignalMs: 60_000 });
    target.emit('SIGINT');
    target.emit('SIGINT');
    await target.exited;
    expect(target.codes).toEqual([0]);
  });

  test('exceeding the deadline exits with 1', async () => {
    const { target, messages } = setup(() => new Promise(() => {}), { deadlineMs: 5 });
    target.emit('SIGTERM');
    const keepAlive = setInterval(() => {}, 1000); // the deadline itself does not keep the process alive
    await target.exited;
    clearInterval(keepAlive);
    expect(target.codes).toEqual([1]);
    expect(messages).toContain('not stopped within the deadline: exiting');
  });

  test('a failed stop exits with 1', async () => {
    const { target } = setup(() => Promise.reject(new Error('no')));
    target.emit('SIGTERM');
    await target.exited;
    expect(target.codes).toEqual([1]);
  });

  test.each(['uncaughtException', 'unhandledRejection'])('%s is logged and exits with 1', (event) => {
    const { target, messages } = setup(async () => {});
    target.emit(event, new Error('boom'));
    expect(target.codes).toEqual([1]);
    expect(messages).toEqual(['uncaught error: exiting']);
  });

  test('removes its handlers', () => {
    const { target, release } = setup(async () => {});
    release();
    expect(target.eventNames()).not.toContain('SIGTERM');
    expect(target.listenerCount('uncaughtException')).toBe(0);
  });
});

describe('a process whose output has no reader', () => {
  test('exits on SIGTERM', async () => {
    const at = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
    const script = `
      import { createLogger } from ${at('../observe/logger.ts')};
      import { runUntilSignal } from ${at('./shutdown.ts')};
      const log = createLogger({ name: 'test', level: 'info', environment: 'production' });
      setInterval(() => {}, 1_000);
      runUntilSignal({ stop: async () => {}, deadlineMs: 5_000, log });
      log.info('ready');
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    await once(child.stdout, 'data');
    child.stdout.destroy();
    child.kill('SIGTERM');
    const killTimer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    expect(await exited).toEqual([0, null]);
    clearTimeout(killTimer);
  });
});
