/**
 * Wraps opossum, one instance per upstream per worker: rolling statistics, a trip on the rolling failure rate, and a
 * limit of concurrent attempts. It reports its trip and mirrors the fleet breaker's state.
 *
 * opossum's half-open state, reset timer and timeout are not used. Its timeout is one per instance and aborts nothing,
 * so each attempt has its own deadline.
 */
import type { Health } from '@recloser/runtime/values/health';
import CircuitBreaker from 'opossum';

type RollingPolicy = {
  /** Percentage of failures that trips, such as 50. */
  readonly errorPercent: number;
  /** With fewer attempts in the window it never trips. */
  readonly minimum: number;
  readonly windowMs: number;
};

type LocalStats = { readonly fires: number; readonly failures: number };

/** The longest delay that `setTimeout` accepts. */
const neverMs = 2 ** 31 - 1;

/** Carries an outcome through opossum, which counts thrown errors as failures. */
class UpstreamDown extends Error {
  readonly outcome: { readonly health: Health };

  constructor(outcome: { readonly health: Health }) {
    super('upstream down');
    this.outcome = outcome;
  }
}

type Attempt = () => Promise<{ readonly health: Health }>;

type Breaker = CircuitBreaker<[Attempt], { readonly health: Health }>;

type LocalBreakerOptions = {
  /** Concurrent attempts: the worker's concurrency. */
  readonly capacity: number;
  readonly rolling: RollingPolicy;
  /** Called when this worker's failure rate trips, not when the fleet's state is mirrored. */
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

  /** Runs one attempt. Returns its outcome whatever its health. Rejects with what the attempt throws. */
  async run<T extends { readonly health: Health }>(attempt: () => Promise<T>): Promise<T> {
    // The attempt was admitted by the fleet breaker, which overrides a local trip.
    this.#breaker.close();
    try {
      return (await this.#breaker.fire(attempt)) as T;
    } catch (error) {
      if (error instanceof UpstreamDown) return error.outcome as T;
      throw error;
    }
  }

  /** Mirrors an open fleet breaker. */
  open(): void {
    this.#mirroring = true;
    this.#breaker.open();
    this.#mirroring = false;
  }

  /** Mirrors a closed fleet breaker. Clears the window, or old failures would trip it again. */
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
      // Percentiles cost milliseconds per failure in a full window. Latency has its own histogram.
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      capacity,
    });
    breaker.on('open', () => {
      if (!this.#mirroring) onTrip(breaker.stats);
    });
    return breaker;
  }
}

async function runAttempt(attempt: Attempt): Promise<{ readonly health: Health }> {
  const outcome = await attempt();
  if (outcome.health === 'down') throw new UpstreamDown(outcome);
  return outcome;
}
