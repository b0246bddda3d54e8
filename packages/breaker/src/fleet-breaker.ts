/**
 * The breaker that the fleet shares, one per upstream: a record in Redis that only scripts change. Each method runs one
 * script and returns the state afterwards.
 */
import type { BreakerRecord, FleetReply } from './record.ts';
import { createScripts, type RedisConnection, type Scripts } from './scripts.ts';

export type FleetPolicy = {
  /** Consecutive failures across the fleet that open the breaker. */
  readonly failMax: number;
  /** First open time. Doubles with each consecutive trip, up to ten times. */
  readonly resetMs: number;
  /** Successes that close a half-open breaker with no work left. Default 10. */
  readonly successesToClose?: number;
  /** With one success or more and no work left, half-open closes after this idle time. Default 5 s, at most resetMs. */
  readonly quietMs?: number;
};

/** The generation and era of an attempt's admission. Its result counts only while they are current. */
export type Admitted = {
  readonly callId: string;
  readonly worker: string;
  readonly generation: number;
  readonly era: number;
};

type WorkerReport = {
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

  /** Requests a permit for one attempt. A permit without a result expires after `leaseMs`. */
  admit(callId: string, worker: string, leaseMs: number): Promise<FleetReply> {
    return this.#scripts.run('admit', callId, worker, leaseMs);
  }

  succeeded({ callId, worker, generation }: Admitted): Promise<FleetReply> {
    return this.#scripts.run('success', callId, worker, generation);
  }

  /** @param code error code, such as `http_503`; kept as evidence */
  failed({ callId, worker, generation, era }: Admitted, code: string): Promise<FleetReply> {
    const { failMax, resetMs } = this.#policy;
    return this.#scripts.run('failure', callId, worker, generation, era, code, failMax, resetMs);
  }

  abandon({ callId, generation }: Admitted): Promise<FleetReply> {
    return this.#scripts.run('abandon', callId, generation);
  }

  /** Tries to win the trial; see `won`. The generation is the fencing token of the lease. */
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

  /** Call this while half-open with no work left: it may close the breaker. */
  idle(worker: string): Promise<FleetReply> {
    const { successesToClose = 10, resetMs, quietMs = Math.min(5_000, resetMs), failMax } = this.#policy;
    return this.#scripts.run('idle', worker, successesToClose, quietMs, resetMs, failMax);
  }

  unlimited(generation: number): Promise<FleetReply> {
    return this.#scripts.run('unlimit', generation);
  }

  /** Reports that a worker's rolling failure rate tripped. Opens the breaker unless only this worker is failing. */
  rateTripped(worker: string, generation: number, text: string, windowMs: number): Promise<FleetReply> {
    return this.#scripts.run('report-rate', worker, generation, text, this.#policy.resetMs, windowMs);
  }

  /** Sets a worker aside for a fault of its own machine, unless too few others are left. */
  setAside(worker: string, reason: string): Promise<FleetReply> {
    return this.#scripts.run('set-aside', worker, reason, this.#policy.resetMs);
  }

  /** See `asideUntil` in the reply. */
  asideUntil(worker: string): Promise<FleetReply> {
    return this.#scripts.run('aside-until', worker);
  }

  /** Asks to bring back a worker that was set aside. Refused before `asideUntil`. */
  comeBack(worker: string, works: boolean): Promise<FleetReply> {
    return this.#scripts.run('come-back', worker, works ? 1 : 0, this.#policy.resetMs);
  }

  /** Operator: open until a time (ms since 1970, Redis' clock). */
  forceOpen(who: string, reason: string, untilMs: number): Promise<FleetReply> {
    return this.#scripts.run('steer', 'open', who, reason, untilMs, this.#policy.resetMs);
  }

  /** Operator: try now instead of at the retry time. Success leads to the ramp, not straight to closed. */
  probeNow(who: string, reason: string): Promise<FleetReply> {
    return this.#scripts.run('steer', 'probe', who, reason, 0, this.#policy.resetMs);
  }

  /** Operator: close without a trial and a ramp. */
  closeFull(who: string, reason: string): Promise<FleetReply> {
    return this.#scripts.run('steer', 'close-full', who, reason, 0, this.#policy.resetMs);
  }
}
