/**
 * Keeps receivers from hurting each other, and a receiver that is down from being hammered.
 *
 * Per host one fleet breaker, the same scripts as for upstreams: the queue for callbacks is shared, so nothing
 * is paused; a callback for a host that is down is put off instead, which costs it no attempt. Per host and
 * process only a part of the places, so that one slow receiver cannot take them all.
 */
import { createHash } from 'node:crypto';
import { FleetBreaker } from '@recloser/breaker/fleet-breaker';
import type { Redis } from '@recloser/runtime/redis/connection';

/** Leave to send one callback; `settle` must be called with what it showed, once. */
export type Pass = { settle(health: 'up' | 'down' | 'unknown', code?: string): Promise<void> };

/** Leave, or for how long to put the callback off, in ms. */
export type Entry =
  | { readonly kind: 'go'; readonly pass: Pass }
  | { readonly kind: 'wait'; readonly forMs: number };

export type GateOptions = {
  readonly redis: Redis;
  /** `REDIS_PREFIX`. */
  readonly prefix: string;
  readonly worker: string;
  /** Callbacks that this process sends to one host at once. */
  readonly perHost: number;
  readonly breaker: { readonly failMax: number; readonly resetMs: number };
  /** How long one attempt may take; a permit's lease is this plus 5 s. */
  readonly timeoutMs: number;
  /** How long a callback waits for a place. */
  readonly busyMs: number;
};

const leaseMarginMs = 5_000;

export class CallbackGate {
  readonly #options: GateOptions;
  readonly #breakers = new Map<string, FleetBreaker>();
  readonly #inFlight = new Map<string, number>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Asks leave to send `id` to `host` (with its port). Rejects when Redis fails. */
  async enter(host: string, id: string): Promise<Entry> {
    const running = this.#inFlight.get(host) ?? 0;
    const { perHost, busyMs } = this.#options;
    if (running >= perHost) return { kind: 'wait', forMs: busyMs };
    this.#inFlight.set(host, running + 1);
    try {
      const entry = await this.#ask(host, id);
      if (entry.kind === 'wait') this.#leave(host);
      return entry;
    } catch (error) {
      this.#leave(host);
      throw error;
    }
  }

  async #ask(host: string, id: string): Promise<Entry> {
    const { worker, timeoutMs, busyMs } = this.#options;
    const leaseMs = timeoutMs + leaseMarginMs;
    const fleet = this.#breaker(host);
    let reply = await fleet.admit(id, worker, leaseMs);
    if (!reply.admitted && reply.breaker.state === 'open') {
      const { retryAt } = reply.breaker;
      if (retryAt !== null && retryAt > reply.nowMs) return { kind: 'wait', forMs: retryAt - reply.nowMs };
      // The time is over: one of the fleet wins, and the callback at hand is the trial.
      await fleet.beginTrial(worker, leaseMs, false, null);
      reply = await fleet.admit(id, worker, leaseMs);
    }
    if (!reply.admitted) return { kind: 'wait', forMs: busyMs };
    const { generation, era, consecutiveFailures } = reply.breaker;
    const admitted = { callId: id, worker, generation, era };
    const tell = reply.trial || consecutiveFailures > 0;
    const settle: Pass['settle'] = async (health, code = 'failed') => {
      this.#leave(host);
      if (health === 'down') await fleet.failed(admitted, code);
      else if (health === 'up' && tell) await fleet.succeeded(admitted);
      else if (health === 'unknown' && reply.trial) await fleet.abandon(admitted);
    };
    return { kind: 'go', pass: { settle } };
  }

  #leave(host: string): void {
    const running = (this.#inFlight.get(host) ?? 1) - 1;
    if (running > 0) this.#inFlight.set(host, running);
    else this.#inFlight.delete(host);
  }

  #breaker(host: string): FleetBreaker {
    const { redis, prefix, breaker } = this.#options;
    let found = this.#breakers.get(host);
    if (!found) {
      found = new FleetBreaker({ redis, root: callbackBreakerRoot(prefix, host), policy: breaker });
      this.#breakers.set(host, found);
    }
    return found;
  }
}

/** The common start of the keys of a host's breaker. A hash: a host is no good part of a key. */
export function callbackBreakerRoot(prefix: string, host: string): string {
  return `${prefix}:{callback-${createHash('sha256').update(host).digest('hex').slice(0, 16)}}`;
}
