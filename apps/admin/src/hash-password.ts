/** `npm run hash-password`: reads a password from the terminal or standard input and prints its hash. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { hashPassword } from './user/password.ts';

async function readPassword(): Promise<string> {
  // Discards the output, so that the terminal does not echo the password.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = process.stdin.isTTY === true;
  const lines = createInterface({ input: process.stdin, output: silent, terminal });
  if (terminal) process.stderr.write('Password: ');
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
    if (terminal) process.stderr.write('\n');
  }
}

const password = await readPassword();
if (password.length < 8) {
  process.stderr.write('A password needs at least 8 characters.\n');
  process.exitCode = 1;
} else {
  process.stdout.write(`${await hashPassword(password)}\n`);
}
