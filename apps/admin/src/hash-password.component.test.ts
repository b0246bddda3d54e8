import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { verifyPassword } from './user/password.ts';

test('npm run hash-password reads standard input and prints a hash', async () => {
  const script = fileURLToPath(new URL('./hash-password.ts', import.meta.url));
  const running = promisify(execFile)(process.execPath, [script]);
  running.child.stdin?.end('a good password\n');
  const { stdout } = await running;
  expect(await verifyPassword('a good password', stdout.trim())).toBe(true);
});
