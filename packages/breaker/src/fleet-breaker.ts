/**
 * The fleet's one breaker per upstream: a record in Redis, moved only by scripts.
 * Always true: this file decides nothing; each method is one script and returns what stands afterwards.
 */
import type { BreakerRecord, FleetReply } from './record.ts';
import { createScripts, type RedisConnection, type Scripts } from './scripts.ts';

export type FleetPolicy = {
  /** Consecutive failures of the whole fleet that open the breaker. */
  readonly failMax: number;
  /** First open time; doubles with each trip in a row, to ten times this. */
  readonly resetMs: number;
  /** Half-open, no work left: this many successes close at once. Default 10. */
  readonly successesToClose?: number;
  /** Half-open, no work left, at least one success: close after this quiet time. Default the smaller of 5 s and resetMs. */
  readonly quietMs?: number;
};

/** What an attempt was admitted under; its answer only counts while these still hold. */
export type Admitted = {
  readonly callId: string;
  readonly worker: string;
  readonly generation: number;
  readonly era: number;
};

export type WorkerReport = {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly capacity: number;
  readonly active: number;
  readonly state: string;
  readonly generation: number;
};

export class FleetBreaker {
  readonly #scripts: Scripts;
  readonly #policy: FleetPolicy;

  /** @param clock see `createScripts` */
  constructor({
    redis,
    root,
    policy,
    clock,
  }: { redis: RedisConnection; root: string; policy: FleetPolicy; clock?: string }) {
    if (!(policy.failMax >= 1)) throw new RangeError(`failMax must be at least 1, not ${policy.failMax}`);
    if (!(policy.resetMs > 0)) throw new RangeError(`resetMs must be above 0, not ${policy.resetMs}`);
    this.#scripts = createScripts(redis, root, clock);
    this.#policy = policy;
  }

  async read(): Promise<BreakerRecord> {
    return (await this.snapshot()).breaker;
  }

  snapshot(): Promise<FleetReply> {
    return this.#scripts.run('read');
  }

  /** @param advert JSON, see `adverts.ts`; empty: none */
  heartbeat(report: WorkerReport, advert = ''): Promise<FleetReply> {
    return this.#scripts.run('heartbeat', report.id, JSON.stringify(report), advert);
  }

  leave(worker: string): Promise<FleetReply> {
    return this.#scripts.run('leave', worker);
  }

  /** Asks leave for one attempt. A permit that is never answered comes back after `leaseMs`. */
  admit(callId: string, worker: string, leaseMs: number): Promise<FleetReply> {
    return this.#scripts.run('admit', callId, worker, leaseMs);
  }

  succeeded({ callId, worker, generation }: Admitted): Promise<FleetReply> {
    return this.#scripts.run('success', callId, worker, generation);
  }

  /** @param code what went wrong, e.g. `http_503`; shown as evidence */
  failed({ callId, worker, generation, era }: Admitted, code: string): Promise<FleetReply> {
    const { failMax, resetMs } = this.#policy;
    return this.#scripts.run('failure', callId, worker, generation, era, code, failMax, resetMs);
  }

  abandon({ callId, generation }: Admitted): Promise<FleetReply> {
    return this.#scripts.run('abandon', callId, generation);
  }

  /** Tries to become the one who runs the trial; `won` tells. The generation then fences the lease. */
  beginTrial(
    worker: string,
    leaseMs: number,
    hasProbe: boolean,
    operatorConcurrency: number | null,
  ): Promise<FleetReply> {
    return this.#scripts.run('begin-trial', worker, leaseMs, hasProbe ? 1 : 0, operatorConcurrency ?? '');
  }

  endProbe(
    worker: string,
    generation: number,
    verdict: 'pass' | 'fail' | 'inconclusive',
    reason: string,
  ): Promise<FleetReply> {
    return this.#scripts.run('end-probe', worker, generation, verdict, reason, this.#policy.resetMs);
  }

  /** To be called while half-open and no work is left. */
  idle(worker: string): Promise<FleetReply> {
    const { successesToClose = 10, resetMs, quietMs = Math.min(5_000, resetMs), failMax } = this.#policy;
    return this.#scripts.run('idle', worker, successesToClose, quietMs, resetMs, failMax);
  }

  unlimited(generation: number): Promise<FleetReply> {
    return this.#scripts.run('unlimit', generation);
  }

  /** A worker's own rolling failure rate tripped; opens the breaker unless this worker is alone in that. */
  rateTripped(worker: string, generation: number, text: string, windowMs: number): Promise<FleetReply> {
    return this.#scripts.run('report-rate', worker, generation, text, this.#policy.resetMs, windowMs);
  }

  /** Sets a worker aside for a fault of its own machine, unless too few others are left. */
  setAside(worker: string, reason: string): Promise<FleetReply> {
    return this.#scripts.run('set-aside', worker, reason, this.#policy.resetMs);
  }

  /** Until when a worker is set aside. */
  asideUntil(worker: string): Promise<FleetReply> {
    return this.#scripts.run('aside-until', worker);
  }

  /** A worker that was set aside asks to return; refused before its time (see `aside`). */
  comeBack(worker: string, works: boolean): Promise<FleetReply> {
    return this.#scripts.run('come-back', worker, works ? 1 : 0, this.#policy.resetMs);
  }

  /** Operator: open until a time (ms since 1970, Redis' clock). */
  forceOpen(who: string, reason: string, untilMs: number): Promise<FleetReply> {
    return this.#scripts.run('steer', 'open', who, reason, untilMs, this.#policy.resetMs);
  }

  /** Operator: try now instead of at the retry time. Closing gently is the same: a trial, then the ramp. */
  probeNow(who: string, reason: string): Promise<FleetReply> {
    return this.#scripts.run('steer', 'probe', who, reason, 0, this.#policy.resetMs);
  }

  /** Operator: close at full width, without a trial. */
  closeFull(who: string, reason: string): Promise<FleetReply> {
    return this.#scripts.run('steer', 'close-full', who, reason, 0, this.#policy.resetMs);
  }
}
