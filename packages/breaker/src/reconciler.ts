/**
 * Keeps the queue's paused flag in line with the holds: lifts a pause without a hold, and undoes a resume despite a
 * hold. Runs on start, every 5 s (jittered), on every change of the record, and when the next hold expires.
 */
import type { Log } from '@recloser/runtime/observe/log';
import { graceMs, type Holds } from './holds.ts';
import type { FleetReply } from './record.ts';

const defaultSweepMs = 5_000;

export class Reconciler {
  readonly #holds: Holds;
  readonly #log: Log;
  readonly #sweepMs: number;
  #sweepTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #pending = false;
  #stopped = false;
  /** Mismatches that a sweep has reported and the next `apply` repairs. */
  #reported: readonly string[] = [];

  constructor({ holds, log, sweepMs = defaultSweepMs }: { holds: Holds; log: Log; sweepMs?: number }) {
    this.#holds = holds;
    this.#log = log;
    this.#sweepMs = sweepMs;
  }

  start(): void {
    this.#scheduleSweep();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#sweepTimer);
    clearTimeout(this.#expiryTimer);
    await this.#running;
  }

  /** Applies the current holds. Requests during a run are combined into one more run. */
  apply(): Promise<void> {
    if (this.#pending || this.#stopped) return this.#running;
    this.#pending = true;
    this.#running = this.#running.then(async () => {
      this.#pending = false;
      try {
        const applied = await this.#holds.apply();
        this.#watchExpiry(applied);
        if (applied.repaired !== null && !this.#reported.includes(applied.repaired)) {
          await this.#report([applied.repaired]);
        }
        this.#reported = [];
      } catch (error) {
        this.#log.warn({ err: error }, 'could not apply the holds; will retry');
      }
    });
    return this.#running;
  }

  /** Reports and repairs mismatches that outlast the grace period. */
  async sweep(): Promise<void> {
    try {
      const first = await this.#holds.mismatches();
      if (first.length > 0) {
        await new Promise((resolve) => setTimeout(resolve, graceMs));
        const still = (await this.#holds.mismatches()).filter((text) => first.includes(text));
        if (still.length > 0) await this.#report(still);
        this.#reported = still;
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'could not compare the holds with the queue; will retry');
    }
    await this.apply();
  }

  async #report(found: readonly string[]): Promise<void> {
    const text = found.join('; ');
    this.#log.warn({ found }, `repaired: ${text}`);
    await this.#holds.noteRepair(text);
  }

  #scheduleSweep(): void {
    const inMs = this.#sweepMs * (0.8 + Math.random() * 0.2);
    this.#sweepTimer = setTimeout(() => {
      void this.sweep().finally(() => {
        if (!this.#stopped) this.#scheduleSweep();
      });
    }, inMs);
  }

  #watchExpiry({ holds, nowMs }: FleetReply): void {
    clearTimeout(this.#expiryTimer);
    const ends = holds.flatMap((hold) =>
      hold.kind !== 'breaker' && hold.until !== null ? [hold.until] : [],
    );
    if (ends.length === 0 || this.#stopped) return;
    const inMs = Math.max(0, Math.min(...ends) - nowMs) + 5 + Math.random() * 50;
    this.#expiryTimer = setTimeout(() => void this.apply(), Math.min(inMs, 2 ** 31 - 1));
  }
}
