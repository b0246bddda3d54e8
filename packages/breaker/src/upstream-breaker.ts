/** A worker's interface to the breaker. Losing Redis is not an upstream failure: the call waits. */
import type { Log } from '@recloser/runtime/observe/log';
import type { Health } from '@recloser/runtime/values/health';
import { type Admitted, FleetBreaker, type FleetPolicy } from './fleet-breaker.ts';
import { Holds, type PausableQueue } from './holds.ts';
import { LocalBreaker } from './local-breaker.ts';
import { Reconciler } from './reconciler.ts';
import type { FleetReply } from './record.ts';
import type { RedisConnection } from './scripts.ts';
import { type Probe, TrialRunner } from './trial-runner.ts';

export type Permit = Admitted & {
  /** True while half-open: the attempt is part of a trial or of the ramp. */
  readonly trial: boolean;
  /** The upstream's probe passed, so a failed trial is charged to its call. */
  readonly proven: boolean;
};

export type Admission =
  | { readonly kind: 'go'; readonly permit: Permit }
  | { readonly kind: 'wait'; readonly reason: string };

/** The result of an attempt. `local`: a fault of this machine. `failMax` of them in a row set this worker aside. */
export type Shown = { readonly health: Health; readonly code?: string; readonly local?: boolean };

type UpstreamQueue = PausableQueue & {
  getJobCounts(...types: ('wait' | 'prioritized' | 'active')[]): Promise<Record<string, number>>;
};

export type UpstreamBreakerOptions = {
  /** For commands, which should fail rather than wait without limit when Redis is unreachable. */
  readonly redis: RedisConnection;
  /** A separate connection for pub/sub. */
  readonly subscriber: RedisConnection;
  readonly root: string;
  readonly queue: UpstreamQueue;
  readonly policy: FleetPolicy & {
    /** Timeout of an attempt. The lease of a permit is this plus 5 s. */
    readonly attemptTimeoutMs: number;
    /** Timeout of the probe. Its lease is this plus 5 s. Default 10 s. */
    readonly probeTimeoutMs?: number;
    /** Percentage of failures, of at least 20 attempts within 10 s, above which a worker trips. Default 50. */
    readonly failPercent?: number;
  };
  readonly worker: {
    readonly id: string;
    readonly host: string;
    readonly pid: number;
    readonly capacity: number;
  };
  /** What this worker says of itself to those who read `adverts.ts`; the breaker does not look at it. */
  readonly advert?: object;
  readonly probe?: Probe;
  readonly log: Log;
  /** The worker was set aside (true: stop fetching) or is back (false: fetch again). */
  readonly onSetAside?: (aside: boolean) => void;
  readonly onChange?: (reply: FleetReply) => void;
  readonly heartbeatMs?: number;
  readonly sweepMs?: number;
  /** How often a half-open breaker is checked for being idle. Default 500 ms. */
  readonly lookMs?: number;
  /** See `createScripts`. */
  readonly clock?: string;
};

export const defaultHeartbeatMs = 2_000;
const leaseMarginMs = 5_000;
const defaultProbeTimeoutMs = 10_000;
const defaultFailPercent = 50;
const rolling = { minimum: 20, windowMs: 10_000 };

export class UpstreamBreaker {
  readonly holds: Holds;
  readonly fleet: FleetBreaker;
  readonly #options: UpstreamBreakerOptions;
  readonly #local: LocalBreaker;
  readonly #reconciler: Reconciler;
  readonly #trials: TrialRunner;
  readonly #startedAt = Date.now();
  readonly #advert: string;
  readonly #channel: string;
  #view: FleetReply | undefined;
  #seenAt = 0;
  #active = 0;
  /** Faults of this machine since an attempt last got past it. */
  #localFaults = 0;
  #aside = false;
  #heartbeatTimer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: UpstreamBreakerOptions) {
    const { redis, root, queue, policy, worker, log, clock } = options;
    this.#options = options;
    this.#channel = `${root}:changed`;
    this.#advert = options.advert ? JSON.stringify(options.advert) : '';
    this.fleet = new FleetBreaker({ redis, root, policy, clock });
    this.holds = new Holds({ redis, root, queue, clock });
    this.#reconciler = new Reconciler({ holds: this.holds, log, sweepMs: options.sweepMs });
    const { failPercent = defaultFailPercent, probeTimeoutMs = defaultProbeTimeoutMs } = policy;
    this.#local = new LocalBreaker({
      capacity: worker.capacity,
      rolling: { ...rolling, errorPercent: failPercent },
      onTrip: ({ fires, failures }) => {
        const text = `${failures} of ${fires} attempts failed within ${rolling.windowMs / 1000} s`;
        void this.#send(() =>
          this.fleet.rateTripped(worker.id, this.#view?.breaker.generation ?? 0, text, rolling.windowMs * 2),
        );
      },
    });
    this.#trials = new TrialRunner({
      fleet: this.fleet,
      queue,
      worker: worker.id,
      leaseMs: probeTimeoutMs + leaseMarginMs,
      probeTimeoutMs,
      lookMs: options.lookMs,
      probe: options.probe,
      log,
      onReply: (reply) => this.#update(reply),
    });
  }

  /** Registers this worker, reads the current state and applies it to the queue. */
  async start(): Promise<void> {
    const { subscriber } = this.#options;
    subscriber.on('message', this.#onMessage);
    await subscriber.subscribe(this.#channel);
    await this.#sendHeartbeat();
    await this.#reconciler.sweep();
    this.#reconciler.start();
    this.#scheduleHeartbeat();
  }

  /** Idempotent. Attempts that are still running may report afterwards. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#heartbeatTimer);
    this.#options.subscriber.off('message', this.#onMessage);
    await this.#options.subscriber.unsubscribe(this.#channel).catch(() => {});
    await this.#trials.stop();
    await this.#reconciler.stop();
    this.#local.stop();
    await this.#send(() => this.fleet.leave(this.#options.worker.id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The last state that a script returned to this worker. */
  get view(): FleetReply | undefined {
    return this.#view;
  }

  /**
   * Requests a permit for one attempt of a call. Answers without Redis while the breaker is closed without a streak.
   * @param timeoutMs timeout of the attempt; the lease of a permit is this plus 5 s
   */
  async admit(callId: string, timeoutMs: number = this.#options.policy.attemptTimeoutMs): Promise<Admission> {
    if (this.#aside)
      return { kind: 'wait', reason: 'This worker is set aside: only its own calls were failing.' };
    const worker = this.#options.worker.id;
    const view = this.#view;
    if (view && this.#fresh() && view.breaker.state === 'closed' && view.breaker.consecutiveFailures === 0) {
      const { generation, era } = view.breaker;
      return { kind: 'go', permit: { callId, worker, generation, era, trial: false, proven: false } };
    }
    let reply: FleetReply;
    try {
      reply = await this.fleet.admit(callId, worker, timeoutMs + leaseMarginMs);
    } catch {
      return { kind: 'wait', reason: 'Redis did not answer.' };
    }
    this.#update(reply);
    if (!reply.admitted) return { kind: 'wait', reason: reply.why };
    const { generation, era, proven } = reply.breaker;
    return { kind: 'go', permit: { callId, worker, generation, era, trial: reply.trial, proven } };
  }

  /** Returns an unused permit. */
  async abandon(permit: Permit): Promise<void> {
    if (permit.trial) await this.#send(() => this.fleet.abandon(permit));
  }

  /**
   * Runs an admitted attempt. Reports its health before returning the outcome, so that the fleet knows of a trip before
   * this worker fetches its next call.
   */
  async run<T extends Shown>(permit: Permit, attempt: () => Promise<T>): Promise<T> {
    this.#active += 1;
    try {
      const outcome = await this.#local.run(attempt);
      await this.#report(permit, outcome);
      return outcome;
    } catch (error) {
      await this.abandon(permit);
      throw error;
    } finally {
      this.#active -= 1;
    }
  }

  async #report(permit: Permit, { health, code, local = false }: Shown): Promise<void> {
    await this.#countLocal(local, code);
    if (health === 'down') {
      await this.#send(() => this.fleet.failed(permit, code ?? 'failed'));
    } else if (health === 'unknown') {
      await this.abandon(permit);
    } else if (permit.trial || (this.#view?.breaker.consecutiveFailures ?? 1) > 0) {
      await this.#send(() => this.fleet.succeeded(permit));
    }
  }

  async #countLocal(local: boolean, code = 'local'): Promise<void> {
    this.#localFaults = local ? this.#localFaults + 1 : 0;
    if (this.#localFaults < this.#options.policy.failMax) return;
    this.#localFaults = 0;
    await this.#send(() => this.fleet.setAside(this.#options.worker.id, code));
  }

  /** Runs a script and keeps its state. Without Redis the report is lost; leases and heartbeats compensate. */
  async #send(script: () => Promise<FleetReply>): Promise<void> {
    try {
      this.#update(await script());
    } catch (error) {
      this.#options.log.warn({ err: error }, 'could not report to the fleet breaker');
    }
  }

  #update(reply: FleetReply): void {
    const before = this.#view?.breaker;
    const { breaker } = reply;
    if (this.#view && isOlder(reply, this.#view)) return;
    this.#view = reply;
    this.#seenAt = performance.now();
    if (
      !before ||
      before.generation !== breaker.generation ||
      before.permits !== breaker.permits ||
      before.probing !== breaker.probing
    ) {
      if (breaker.state === 'open') this.#local.open();
      if (breaker.state === 'closed' && before && before.state !== 'closed') this.#local.reset();
      this.#options.onChange?.(reply);
      if (!this.#stopped) void this.#reconciler.apply();
    }
    const aside = reply.aside.includes(this.#options.worker.id);
    if (aside !== this.#aside) {
      this.#aside = aside;
      this.#options.onSetAside?.(aside);
    }
    if (!this.#stopped) this.#trials.watch(reply, aside);
  }

  #fresh(): boolean {
    return performance.now() - this.#seenAt < 5 * (this.#options.heartbeatMs ?? defaultHeartbeatMs);
  }

  readonly #onMessage = (channel: string): void => {
    if (channel !== this.#channel) return;
    void this.#sendHeartbeat();
    void this.#reconciler.apply();
  };

  async #sendHeartbeat(): Promise<void> {
    const breaker = this.#view?.breaker;
    await this.#send(() =>
      this.fleet.heartbeat(
        {
          ...this.#options.worker,
          startedAt: this.#startedAt,
          active: this.#active,
          state: breaker?.state ?? 'closed',
          generation: breaker?.generation ?? 0,
        },
        this.#advert,
      ),
    );
  }

  #scheduleHeartbeat(): void {
    const inMs = (this.#options.heartbeatMs ?? defaultHeartbeatMs) * (0.9 + Math.random() * 0.2);
    this.#heartbeatTimer = setTimeout(() => {
      void this.#sendHeartbeat().finally(() => {
        if (!this.#stopped) this.#scheduleHeartbeat();
      });
    }, inMs);
  }
}

/** A larger step back means that the clock was set, not that a reply is stale. */
const staleLimitMs = 1_000;

/** True for a stale reply. The generation alone does not tell, because a deleted record starts at 0. */
function isOlder(reply: FleetReply, than: FleetReply): boolean {
  const ageMs = than.nowMs - reply.nowMs;
  if (ageMs === 0) return reply.breaker.generation < than.breaker.generation;
  return ageMs > 0 && ageMs < staleLimitMs;
}
