/**
 * opossum behind a small face: one instance per upstream per worker. It keeps the rolling statistics, trips
 * on a rolling failure rate and limits how many attempts run at once. The only file that imports opossum.
 *
 * Always true: it decides nothing for the fleet. It reports its trip, and mirrors the fleet's state through
 * `open` and `close`; its own half-open state and timer are never used (its reset time is far away), and its
 * timeout is off, because opossum has one timeout per instance and lets a timed-out call run on: each attempt
 * brings its own deadline with abort.
 */

import type { Health } from '@recloser/runtime/values/health';
import CircuitBreaker from 'opossum';

type RollingPolicy = {
  /** Failure share in percent that trips, e.g. 50. */
  readonly errorPercent: number;
  /** Attempts in the window below which it never trips. */
  readonly minimum: number;
  readonly windowMs: number;
};

export type LocalStats = { readonly fires: number; readonly failures: number; readonly rejects: number };

/** opossum's `setTimeout` takes no more than this. */
const neverMs = 2 ** 31 - 1;

/** Carries an outcome through opossum as the failure that it counts. */
class UpstreamDown extends Error {
  readonly outcome: { readonly health: Health };

  constructor(outcome: { readonly health: Health }) {
    super('upstream down');
    this.outcome = outcome;
  }
}

type Attempt = () => Promise<{ readonly health: Health }>;

type Breaker = CircuitBreaker<[Attempt], { readonly health: Health }>;

export type LocalBreakerOptions = {
  /** Attempts at once; the worker's concurrency. */
  readonly capacity: number;
  readonly rolling: RollingPolicy;
  /** Called when this worker's own failure rate trips, not when the fleet's state is mirrored. */
  readonly onTrip: (stats: LocalStats) => void;
};

export class LocalBreaker {
  readonly #options: LocalBreakerOptions;
  #breaker: Breaker;
  #mirroring = false;

  constructor(options: LocalBreakerOptions) {
    this.#options = options;
    this.#breaker = this.#create();
  }

  /** Runs one attempt. Its outcome comes back as a value whatever its health; a thrown error is thrown on. */
  async run<T extends { readonly health: Health }>(attempt: () => Promise<T>): Promise<T> {
    // Tripped here and the fleet says go: the fleet is the truth.
    this.#breaker.close();
    try {
      return (await this.#breaker.fire(attempt)) as T;
    } catch (error) {
      if (error instanceof UpstreamDown) return error.outcome as T;
      throw error;
    }
  }

  get stats(): LocalStats {
    const { fires, failures, rejects } = this.#breaker.stats;
    return { fires, failures, rejects };
  }

  /** Mirrors an open fleet breaker. */
  open(): void {
    this.#mirroring = true;
    this.#breaker.open();
    this.#mirroring = false;
  }

  /** Mirrors a fleet breaker that has closed; the window starts afresh, or old failures would trip it again. */
  reset(): void {
    this.#breaker.shutdown();
    this.#breaker = this.#create();
  }

  stop(): void {
    this.#breaker.shutdown();
  }

  #create(): Breaker {
    const { capacity, rolling, onTrip } = this.#options;
    const breaker: Breaker = new CircuitBreaker(runAttempt, {
      timeout: false,
      resetTimeout: neverMs,
      errorThresholdPercentage: rolling.errorPercent,
      volumeThreshold: rolling.minimum,
      rollingCountTimeout: rolling.windowMs,
      rollingCountBuckets: 10,
      // Its percentiles cost milliseconds per failure in a full window; latency is kept in our own histogram.
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      capacity,
    });
    breaker.on('open', () => {
      if (!this.#mirroring) onTrip(this.stats);
    });
    return breaker;
  }
}

async function runAttempt(attempt: Attempt): Promise<{ readonly health: Health }> {
  const outcome = await attempt();
  if (outcome.health === 'down') throw new UpstreamDown(outcome);
  return outcome;
}
