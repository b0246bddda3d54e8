/**
 * Holds requests of one simulated upstream until a test releases them, oldest first. A request whose client has
 * disconnected stays held: the upstream would still process it.
 */
export class Gate {
  readonly #held = new Set<() => void>();
  #open = false;

  get held(): number {
    return this.#held.size;
  }

  /** Resolves when the request is released. Rejects when the signal aborts. */
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

  /** Releases the `count` oldest requests, by default all. Returns how many were released. */
  release(count = Number.POSITIVE_INFINITY): number {
    const released = [...this.#held].slice(0, count);
    for (const go of released) {
      this.#held.delete(go);
      go();
    }
    return released.length;
  }

  /** Releases all requests, present and future. */
  open(): void {
    this.#open = true;
    this.release();
  }
}
