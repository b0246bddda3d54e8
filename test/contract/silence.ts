/**
 * Watches one simulated upstream: tells of each request that it will not answer in an attempt's time, and knows when
 * it has ended its work, that for clients who have gone included.
 *
 * Always true: a request is told of once, after the upstream did what it does at once and before any timer of its own.
 */
import type { Verdict } from '@recloser/simulator/faults';
import type { Upstream } from '@recloser/simulator/upstream';
import { vi } from 'vitest';
import { tooLongMs } from './allowed.ts';

/** One per upstream and rig. */
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

  /** Waits until the upstream works on nothing any more. */
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
  // A fault that ends the request before the work skips the wait after it.
  const waitsAfter = ending === null || ending.afterApply === true;
  return before.ms + (waitsAfter ? after.ms : 0) >= tooLongMs;
}
