/**
 * Runs suspect calls alone. A call that lost several workers may be what crashes them, and a crash also stalls every
 * other call of that worker. While a suspect runs or waits to run, no other call may start.
 */

/** A call runs alone after this many lost workers. After one, any call of that worker may be the cause. */
export const suspectAfterStalls = 2;

export class SuspectGate {
  #inside = 0;
  #reserved = false;
  /** Resumes the waiting suspect once all other calls have left. */
  #emptied: (() => void) | undefined;

  /** Returns false if the call must be given back. A suspect waits here until all other calls have left. */
  async enter(suspect: boolean): Promise<boolean> {
    if (this.#reserved) return false;
    this.#reserved = suspect;
    if (suspect && this.#inside > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#emptied = resolve;
      await promise;
    }
    this.#inside += 1;
    return true;
  }

  /** Must be called once for each `enter` that returned true. */
  leave(): void {
    this.#inside -= 1;
    if (this.#inside > 0) return;
    if (this.#emptied) {
      this.#emptied();
      this.#emptied = undefined;
    } else {
      this.#reserved = false;
    }
  }
}
