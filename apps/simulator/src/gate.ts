/**
 * Holds requests of one simulated upstream until a test releases them, in the order in which they came.
 *
 * Always true: a held request whose client has left stays held. Upstream it is still under way.
 */

/** The gate of one fault plan. */
export class Gate {
  readonly #held = new Set<() => void>();
  #open = false;

  get held(): number {
    return this.#held.size;
  }

  /** Resolves when the request is released; rejects when the signal aborts. */
  async hold(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#open) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(signal.reason);
    this.#held.add(resolve);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      this.#held.delete(resolve);
      signal.removeEventListener('abort', abort);
    }
  }

  /** Releases the oldest `count` requests, all unless given. Returns how many it released. */
  release(count = Number.POSITIVE_INFINITY): number {
    const released = [...this.#held].slice(0, count);
    for (const go of released) {
      this.#held.delete(go);
      go();
    }
    return released.length;
  }

  /** Releases everybody, and whoever comes later. */
  open(): void {
    this.#open = true;
    this.release();
  }
}
