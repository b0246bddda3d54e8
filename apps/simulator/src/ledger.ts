/**
 * The requests that one simulated upstream received, in the order of arrival. It contains no bodies, queries, headers or
 * secrets. It keeps the newest 100,000 requests and counts the dropped ones.
 */

/** One request. `at` is in milliseconds since the epoch. `path` is relative to the mount, without query. */
export type LedgerEntry = {
  readonly at: number;
  readonly operation: string;
  readonly method: string;
  readonly path: string;
  /** `in flight`, `answered 200`, `reset`, `hung`, `late-commit`, `truncated`, `client gone`. */
  outcome: string;
  /** True once a write or a sign-in took effect. */
  applied: boolean;
  /** Open requests at this upstream when this one arrived, including it. */
  readonly inFlight: number;
};

const defaultKeep = 100_000;

export class Ledger {
  maxInFlight = 0;
  /** Requests that are no longer listed. */
  dropped = 0;
  #entries: LedgerEntry[] = [];
  #inFlight = 0;
  #epoch = 0;
  readonly #keep: number;

  constructor(keep: number = defaultKeep) {
    this.#keep = keep;
  }

  /** Records an arrival. Call `leave` when the request is no longer open; it is idempotent. */
  arrive(request: Pick<LedgerEntry, 'at' | 'operation' | 'method' | 'path'>): {
    entry: LedgerEntry;
    leave: () => void;
  } {
    this.#inFlight += 1;
    this.maxInFlight = Math.max(this.maxInFlight, this.#inFlight);
    const entry: LedgerEntry = { ...request, outcome: 'in flight', applied: false, inFlight: this.#inFlight };
    this.#entries.push(entry);
    // Trimmed rarely, because each trim copies the list.
    if (this.#entries.length >= this.#keep * 2) this.#cut();
    const epoch = this.#epoch;
    let open = true;
    const leave = () => {
      if (open && epoch === this.#epoch) this.#inFlight -= 1;
      open = false;
    };
    return { entry, leave };
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** The kept requests, oldest first. */
  requests(): readonly LedgerEntry[] {
    if (this.#entries.length > this.#keep) this.#cut();
    return this.#entries;
  }

  /** Kept requests counted by operation and by outcome. */
  counts(): { requests: number; byOperation: Record<string, number>; byOutcome: Record<string, number> } {
    const byOperation: Record<string, number> = {};
    const byOutcome: Record<string, number> = {};
    for (const { operation, outcome } of this.requests()) {
      byOperation[operation] = (byOperation[operation] ?? 0) + 1;
      byOutcome[outcome] = (byOutcome[outcome] ?? 0) + 1;
    }
    return { requests: this.requests().length + this.dropped, byOperation, byOutcome };
  }

  /** Deletes everything. Open requests no longer count. */
  reset(): void {
    this.#epoch += 1;
    this.#entries = [];
    this.#inFlight = 0;
    this.maxInFlight = 0;
    this.dropped = 0;
  }

  #cut(): void {
    this.dropped += this.#entries.length - this.#keep;
    this.#entries = this.#entries.slice(-this.#keep);
  }
}
