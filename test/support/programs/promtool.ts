/**
 * Runs promtool, which checks metrics and rules like Prometheus. Without promtool a test fails with an instruction and is
 * never skipped.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** `output` contains stdout and stderr. Throws with an instruction if there is no promtool. */
export async function promtool(
  args: readonly string[],
  { cwd, input = '' }: { readonly cwd?: string; readonly input?: string } = {},
): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn('promtool', [...args], { cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  const missing = once(child, 'error').then(() => {
    throw new Error(
      'These tests need promtool and there is none. Install it (Debian, Ubuntu: apt-get install prometheus).',
    );
  });
  child.stdin.on('error', () => undefined).end(input);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  const [out, err, [code]] = await Promise.race([ended, missing]);
  return { code: Number(code), output: out + err };
}
