/**
 * Lets calls run together, and a suspect run alone. A call whose worker was lost more than once may be what
 * kills workers; run beside others it would take them along each time (design section 9, d).
 *
 * Always true: while a suspect is inside or waits to be, nobody else is let in; at most one suspect at a time.
 */

/** After so many lost workers a call runs alone. The first time its neighbours were lost too: not yet a suspect. */
export const suspectAfterStalls = 2;

export class SuspectGate {
  #inside = 0;
  #reserved = false;
  /** Wakes the suspect that waits for the others to leave. */
  #emptied: (() => void) | undefined;

  /** False when the call must come back later. A suspect waits here until everybody else has left. */
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

  /** To be called once for each `enter` that gave true. */
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
