/**
 * Caches the transitions of one upstream and reads only new ones, so that a snapshot per second does not read a day
 * of history. When the newest entries do not overlap with the cache, all are read again.
 */
import { readTransitions, type Transition } from '@recloser/breaker/upstream-state';
import type { Redis } from '@recloser/runtime/redis/connection';

const all = 2_000;
const step = 40;

/** One upstream's transitions. */
export class TransitionLog {
  readonly #source: { readonly redis: Redis; readonly root: string };
  #known: readonly Transition[] = [];

  constructor(source: { readonly redis: Redis; readonly root: string }) {
    this.#source = source;
  }

  /** All transitions that the stream keeps, newest first. Rejects when Redis cannot be read. */
  async read(): Promise<readonly Transition[]> {
    const newest = await readTransitions({ ...this.#source, count: step });
    const last = this.#known[0]?.id;
    const overlap = last === undefined ? -1 : newest.findIndex(({ id }) => id === last);
    if (overlap === 0 && newest.length === Math.min(step, this.#known.length)) return this.#known;
    this.#known =
      overlap > 0
        ? [...newest.slice(0, overlap), ...this.#known].slice(0, all)
        : newest.length < step
          ? newest
          : await readTransitions({ ...this.#source, count: all });
    return this.#known;
  }
}
