/** Waits until a process reports that it is ready, or exits. */
import type { ChildHandle } from './child.ts';
import { describeExit } from './child.ts';

/** A process did not become ready. The message contains its last output. */
export class NotReadyError extends Error {
  readonly code = 'not_ready';
  override readonly name = 'NotReadyError';
}

const pollMs = 50;

/** Polls `<url>/health/ready` until the status is below 500. Throws {@link NotReadyError} on exit or at the deadline. */
export async function waitUntilReady(child: ChildHandle, url: string, deadlineMs: number): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  let last = 'Nothing listens on its port';
  for (;;) {
    if (child.hasExited) throw new NotReadyError(describeExit(child, await child.exited));
    try {
      const response = await fetch(`${url}/health/ready`, {
        redirect: 'manual',
        signal: AbortSignal.timeout(2000),
      });
      const body = await response.text();
      if (response.status < 500) return;
      last = `It answered ${response.status}: ${body.slice(0, 300)}`;
    } catch {
      // Not listening yet, or exited: the next iteration finds out.
    }
    if (Date.now() > deadline) {
      const output = child.lines.slice(-5).map((line) => `\n    ${line}`);
      throw new NotReadyError(
        `${child.name} is not ready after ${deadlineMs / 1000} s. ${last}${output.join('')}`,
      );
    }
    await Promise.race([child.exited, new Promise((resolve) => setTimeout(resolve, pollMs))]);
  }
}
