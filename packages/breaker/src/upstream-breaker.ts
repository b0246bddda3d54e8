/** A worker's side of the breaker: permits for attempts, reports of their results, trials and repairs. */
import type { Health } from '@recloser/runtime/values/health';
import { type Admitted, FleetBreaker, type FleetPolicy } from './fleet-breaker.ts';
import { Holds, type PausableQueue } from './holds.ts';
import { LocalBreaker } from './local-breaker.ts';
import { Reconciler, type ReconcilerLog } from './reconciler.ts';
import type { FleetReply } from './record.ts';
import type { RedisConnection } from './scripts.ts';
import { type Probe, TrialRunner } from './trial-runner.ts';

export type Permit = Admitted & {
  /** True while half-open: the attempt is part of a trial or of the ramp. */
  readonly trial: boolean;
  /** The upstream's probe passed, so a failing trial is charged to its call. */
  readonly proven: boolean;
};

export type Admission =
  | { readonly kind: 'go'; readonly permit: Permit }
  | { readonly kind: 'wait'; readonly reason: string };

/** What an attempt showed. `local`: a fault of this machine, which counts against this worker only. */
export type Shown = { readonly health: Health; readonly code?: string; readonly local?: boolean };

export type UpstreamQueue = PausableQueue & {
  getJobCounts(...types: ('wait' | 'prioritized' | 'active')[]): Promise<Record<string, number>>;
};

export type UpstreamBreakerOptions = {
  /** For commands; its commands should fail rather than wait for ever when Redis is gone. */
  readonly redis: RedisConnection;
  /** Its own connection, for pub/sub only. */
  readonly subscriber: RedisConnection;
  readonly root: string;
  readonly queue: UpstreamQueue;
  readonly policy: FleetPolicy & {
    /** Longest time one attempt may take; leases last this plus 5 s. */
    readonly attemptTimeoutMs: number;
    /** Time limit of the probe; its lease lasts this plus 5 s. Default 10 s. */
    readonly probeTimeoutMs?: number;
    /** Share of failures in percent, of 20 attempts or more within 10 s, above which a worker trips. Default 50. */
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
  readonly log: ReconcilerLog;
  /** This worker has been set aside (true) or is back (false): it should stop or start fetching. */
  readonly onSetAside?: (aside: boolean) => void;
  readonly onChange?: (reply: FleetReply) => void;
  readonly heartbeatMs?: number;
  readonly sweepMs?: number;
  /** How often a half-open breaker is looked at for being idle. Default 500 ms. */
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
        void this.#tell(() =>
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
      onReply: (reply) => this.#learn(reply),
    });
  }

  /** Says that this worker lives, learns how things stand, and puts the queue right. */
  async start(): Promise<void> {
    const { subscriber } = this.#options;
    subscriber.on('message', this.#onMessage);
    await subscriber.subscribe(this.#channel);
    await this.#beat();
    await this.#reconciler.sweep();
    this.#reconciler.start();
    this.#scheduleHeartbeat();
  }

  /** Safe to call twice. Attempts still running may go on to report. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#heartbeatTimer);
    this.#options.subscriber.off('message', this.#onMessage);
    await this.#options.subscriber.unsubscribe(this.#channel).catch(() => {});
    await this.#trials.stop();
    await this.#reconciler.stop();
    this.#local.stop();
    await this.#tell(() => this.fleet.leave(this.#options.worker.id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** What this worker knows: from its last heartbeat, script or message. */
  get view(): FleetReply | undefined {
    return this.#view;
  }

  /**
   * Asks leave for one attempt of a call. While closed without a streak the answer is local.
   * @param timeoutMs the attempt's own time limit; the lease of a permit is this plus 5 s
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
    this.#learn(reply);
    if (!reply.admitted) return { kind: 'wait', reason: reply.why };
    const { generation, era, proven } = reply.breaker;
    return { kind: 'go', permit: { callId, worker, generation, era, trial: reply.trial, proven } };
  }

  /** Gives a permit back unused. */
  async abandon(permit: Permit): Promise<void> {
    if (permit.trial) await this.#tell(() => this.fleet.abandon(permit));
  }

  /**
   * Runs an admitted attempt and reports its health before the outcome is handed back, so that a trip is
   * known everywhere before this worker fetches its next call.
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
      await this.#tell(() => this.fleet.failed(permit, code ?? 'failed'));
    } else if (health === 'unknown') {
      await this.abandon(permit);
    } else if (permit.trial || (this.#view?.breaker.consecutiveFailures ?? 1) > 0) {
      await this.#tell(() => this.fleet.succeeded(permit));
    }
  }

  /** As many faults of this machine in a row as open the breaker set this worker aside, if another one lives. */
  async #countLocal(local: boolean, code = 'local'): Promise<void> {
    this.#localFaults = local ? this.#localFaults + 1 : 0;
    if (this.#localFaults < this.#options.policy.failMax) return;
    this.#localFaults = 0;
    await this.#tell(() => this.fleet.setAside(this.#options.worker.id, code));
  }

  /** Runs a script and learns from it. Without Redis the report is lost; leases and heartbeats make up for it. */
  async #tell(script: () => Promise<FleetReply>): Promise<void> {
    try {
      this.#learn(await script());
    } catch (error) {
      this.#options.log.warn({ err: error }, 'could not report to the fleet breaker');
    }
  }

  #learn(reply: FleetReply): void {
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
    void this.#beat();
    void this.#reconciler.apply();
  };

  async #beat(): Promise<void> {
    const breaker = this.#view?.breaker;
    await this.#tell(() =>
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
      void this.#beat().finally(() => {
        if (!this.#stopped) this.#scheduleHeartbeat();
      });
    }, inMs);
  }
}

/** A clock that went back by more than this was set, not overtaken. */
const overtakenMs = 1_000;

/** True for an answer that was overtaken by a newer one. Not told by the generation: a deleted record starts at 0. */
function isOlder(reply: FleetReply, than: FleetReply): boolean {
  const ageMs = than.nowMs - reply.nowMs;
  if (ageMs === 0) return reply.breaker.generation < than.breaker.generation;
  return ageMs > 0 && ageMs < overtakenMs;
}
