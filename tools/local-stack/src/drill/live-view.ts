/** Shows a drill while it runs: a block redrawn in place on a terminal, a line per change anywhere else. */
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
  half_open: pc.yellow('◐ half open'),
};

export class LiveView {
  readonly #terminal = process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
  #last = '';

  /** A line that stays: what the drill does next. */
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
    const line = `${breaker.state} waiting ${queue.waiting} overdue ${queue.overdue} active ${queue.active} permits ${breaker.permits ?? '-'}`;
    if (line === this.#last) return;
    this.#last = line;
    console.log(`  ${(frame.elapsedMs / 1000).toFixed(1)} s  ${line}  requests ${frame.requests}`);
  }

  end(): void {
    this.#terminal?.done();
  }
}

function block({ upstream, posted, requests, elapsedMs }: Frame): string {
  const { breaker, queue, holds, workers } = upstream;
  const next = breaker.retryAt
    ? `next try in ${Math.max(0, (Date.parse(breaker.retryAt) - Date.now()) / 1000).toFixed(1)} s`
    : breaker.permits
      ? `ramping, ${breaker.permits} at once`
      : '';
  return [
    '',
    `  Crossmark  ${shapes[breaker.state] ?? breaker.state}  ${pc.dim(next)}`,
    `  ${pc.dim(breaker.reason ?? '')}`,
    `  waiting ${queue.waiting}   overdue ${queue.overdue}   running ${queue.active}   retry later ${queue.delayed}`,
    `  posted ${posted}   requests at the upstream ${requests}   workers ${workers}`,
    `  holds ${holds.map((hold) => hold.kind).join(', ') || 'none'}   ${pc.dim(`${(elapsedMs / 1000).toFixed(1)} s`)}`,
  ].join('\n');
}
