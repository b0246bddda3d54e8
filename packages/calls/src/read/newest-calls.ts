/**
 * The newest of many calls, met in any order.
 * Always true: no more are kept than asked for and a slice; of a call met twice the later sighting counts.
 */
import { orderOfCallId, timeOfCallId } from '../call/id.ts';

/** Keeps the `limit` newest calls that were accepted before `before` (from `orderOfCallId`; undefined: any). */
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

  /** True when there are enough already, and a call accepted before this time (ms) could not be among them. */
  isOlderThanAll(ms: number): boolean {
    return this.#oldestMs !== undefined && ms < this.#oldestMs;
  }

  /** Newest first. */
  sorted(): Listed[] {
    return [...this.#calls.values()].sort((a, b) => (orderOfCallId(a.id) < orderOfCallId(b.id) ? 1 : -1));
  }
}
