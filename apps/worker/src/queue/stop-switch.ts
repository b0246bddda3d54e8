/** The two phases of a graceful stop. Quiet: nothing new starts. Abort: running calls are aborted and given back. */

/** The abort reason of the stop signal. Unlike a timeout, it says nothing about the upstream. */
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

  /** True once nothing new may start. */
  get quiet(): boolean {
    return this.#quiet;
  }

  /** Aborted in the second phase. */
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
