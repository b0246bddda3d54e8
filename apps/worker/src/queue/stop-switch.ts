/**
 * The two phases of a graceful stop as the calls see them. Quiet: nothing new is begun. Abort: what still
 * runs is ended and given back.
 *
 * Always true: a phase never goes back, and abort implies quiet.
 */

/** Aborted attempts carry this as the signal's reason: not a timeout, so it says nothing about the upstream. */
export class WorkerStopping extends Error {
  readonly code = 'worker_stopping';

  constructor() {
    super('the worker is stopping');
    this.name = 'WorkerStopping';
  }
}

export class StopSwitch {
  readonly #abort = new AbortController();
  #quiet = false;

  /** True once nothing new may be begun. */
  get quiet(): boolean {
    return this.#quiet;
  }

  /** Aborted when running attempts must end. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** First phase. Safe to call twice. */
  beQuiet(): void {
    this.#quiet = true;
  }

  /** Second phase. Safe to call twice. */
  abortAll(): void {
    this.#quiet = true;
    this.#abort.abort(new WorkerStopping());
  }
}
