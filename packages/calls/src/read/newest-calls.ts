/** Collects the newest of many calls in bounded memory. If a call is added twice, the later placement counts. */
import { orderOfCallId, timeOfCallId } from '../call/id.ts';

/** Keeps the `limit` newest calls that were accepted before `before` (from `orderOfCallId`, undefined for all). */
export class NewestCalls<Listed extends { readonly id: string }> {
  readonly #limit: number;
  readonly #before: string | undefined;
  #calls = new Map<string, Listed>();
  #oldestMs: number | undefined;

  constructor(limit: number, before: string | undefined) {
    this.#limit = limit;
    this.#before = before;
  }

  take(met: readonly Listed[]): void {
    for (const one of met) {
      if (this.#before === undefined || orderOfCallId(one.id) < this.#before) this.#calls.set(one.id, one);
    }
    if (this.#calls.size <= this.#limit) return;
    const kept = this.sorted().slice(0, this.#limit);
    this.#calls = new Map(kept.map((one) => [one.id, one]));
    this.#oldestMs = timeOfCallId(kept.at(-1)?.id ?? '');
  }

  /** True if there are `limit` calls and all were accepted after this time (ms). */
  isOlderThanAll(ms: number): boolean {
    return this.#oldestMs !== undefined && ms < this.#oldestMs;
  }

  /** Newest first. */
  sorted(): Listed[] {
    return [...this.#calls.values()].sort((a, b) => (orderOfCallId(a.id) < orderOfCallId(b.id) ? 1 : -1));
  }
}
