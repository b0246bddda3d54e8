/** Shows a running drill: a block that is redrawn in place on a terminal, otherwise one line per change. */
import { createLogUpdate } from 'log-update';
import pc from 'picocolors';
import type { UpstreamView } from '../stack/stack-api.ts';

export type Frame = {
  readonly upstream: UpstreamView;
  readonly posted: number;
  readonly requests: number;
  readonly elapsedMs: number;
};

const shapes: Record<string, string> = {
  closed: pc.green('● closed'),
  open: pc.red('■ open'),
  half_open: pc.yellow('◐ half-open'),
};

export class LiveView {
  readonly #terminal = process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
  #last = '';

  /** Prints a line that stays. */
  say(text: string): void {
    this.#terminal?.clear();
    console.log(`${pc.bold('▸')} ${text}`);
  }

  draw(frame: Frame): void {
    if (this.#terminal) {
      this.#terminal(block(frame));
      return;
    }
    const { breaker, queue } = frame.upstream;
    const line = `breaker ${breaker.state}  waiting ${queue.waiting}  overdue ${queue.overdue}  running ${queue.active}  permits ${breaker.permits ?? '-'}`;
    if (line === this.#last) return;
    this.#last = line;
    const seconds = (frame.elapsedMs / 1000).toFixed(1).padStart(6);
    console.log(`${seconds} s  ${line}  requests ${frame.requests}`);
  }

  end(): void {
    this.#terminal?.done();
  }
}

function block({ upstream, posted, requests, elapsedMs }: Frame): string {
  const { breaker, queue, holds, workers } = upstream;
  const next = breaker.retryAt
    ? `next probe in ${Math.max(0, (Date.parse(breaker.retryAt) - Date.now()) / 1000).toFixed(1)} s`
    : breaker.permits
      ? `ramp: ${breaker.permits} at once`
      : '';
  return [
    '',
    `  Crossmark  ${shapes[breaker.state] ?? breaker.state}  ${pc.dim(next)}`,
    `  ${pc.dim(breaker.reason ?? '')}`,
    `  waiting ${queue.waiting}   overdue ${queue.overdue}   running ${queue.active}   delayed ${queue.delayed}`,
    `  accepted ${posted}   requests upstream ${requests}   workers ${workers}`,
    `  holds ${holds.map((hold) => hold.kind).join(', ') || 'none'}   ${pc.dim(`${(elapsedMs / 1000).toFixed(1)} s`)}`,
  ].join('\n');
}
