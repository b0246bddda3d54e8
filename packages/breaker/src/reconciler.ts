/**
 * Keeps the paused flag and the holds in agreement, whatever happens: a pause that nobody owns is lifted, a
 * resume behind a hold's back is undone. Runs on start, every 5 s (jittered), at every change of the record,
 * and when the next hold runs out.
 */
import { graceMs, type Holds } from './holds.ts';
import type { FleetReply } from './record.ts';

export type ReconcilerLog = {
  warn(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
};

const defaultSweepMs = 5_000;

export class Reconciler {
  readonly #holds: Holds;
  readonly #log: ReconcilerLog;
  readonly #sweepMs: number;
  #sweepTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #pending = false;
  #stopped = false;
  /** What a sweep has told of and the apply after it mends. */
  #told: readonly string[] = [];

  constructor({
    holds,
    log,
    sweepMs = defaultSweepMs,
  }: { holds: Holds; log: ReconcilerLog; sweepMs?: number }) {
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

  /** Something changed: make it so. Calls that come while one is running are joined into one more. */
  apply(): Promise<void> {
    if (this.#pending || this.#stopped) return this.#running;
    this.#pending = true;
    this.#running = this.#running.then(async () => {
      this.#pending = false;
      try {
        const applied = await this.#holds.apply();
        this.#watchExpiry(applied);
        if (applied.mended !== null && !this.#told.includes(applied.mended)) {
          await this.#tell([applied.mended]);
        }
        this.#told = [];
      } catch (error) {
        this.#log.warn({ err: error }, 'could not apply the holds; will try again');
      }
    });
    return this.#running;
  }

  /** Looks for what is out of step, says so, and mends it. */
  async sweep(): Promise<void> {
    try {
      const first = await this.#holds.disagreements();
      if (first.length > 0) {
        await new Promise((resolve) => setTimeout(resolve, graceMs));
        const still = (await this.#holds.disagreements()).filter((text) => first.includes(text));
        if (still.length > 0) await this.#tell(still);
        this.#told = still;
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'could not compare the holds with the queue; will try again');
    }
    await this.apply();
  }

  async #tell(found: readonly string[]): Promise<void> {
    const text = found.join('; ');
    this.#log.warn({ found }, `put right: ${text}`);
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
