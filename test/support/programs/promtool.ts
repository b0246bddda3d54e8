/**
 * Prometheus' own tool, which judges metrics and rules as Prometheus does.
 *
 * Always true: no promtool is an error that says how to get one, never a skipped test.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** Runs promtool; `output` is what it wrote to both streams. Throws with advice when there is none. */
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
