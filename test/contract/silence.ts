/**
 * Watches one simulated upstream: reports each request that it will not answer before the attempt's deadline, and when
 * it has finished all work, including work for disconnected clients. A request is reported once, after the upstream's
 * immediate work and before any of its timers.
 */
import type { Verdict } from '@recloser/simulator/faults';
import type { Upstream } from '@recloser/simulator/upstream';
import { vi } from 'vitest';
import { tooLongMs } from './allowed.ts';

export class SilenceWatch {
  #working = 0;

  constructor({ faults }: Upstream, onSilent: (operation: string) => void) {
    const admit = faults.admit.bind(faults);
    faults.admit = (arrival) => {
      const verdict = admit(arrival);
      this.#working += 1;
      if (staysSilent(verdict)) setImmediate(onSilent, arrival.operation);
      return { ...verdict, leave: () => this.#leave(verdict) };
    };
  }

  /** Waits until the upstream has finished all work. */
  async workEnded(): Promise<void> {
    await vi.waitUntil(() => this.#working === 0, { timeout: 30_000, interval: 5 });
  }

  #leave(verdict: Verdict): void {
    this.#working -= 1;
    verdict.leave();
  }
}

function staysSilent({ ending, before, after }: Verdict): boolean {
  if (ending?.kind === 'late-commit' || (ending?.kind === 'hang' && ending.ms === undefined)) return true;
  // A fault that ends the request before the work has no wait after it.
  const waitsAfter = ending === null || ending.afterApply === true;
  return before.ms + (waitsAfter ? after.ms : 0) >= tooLongMs;
}
