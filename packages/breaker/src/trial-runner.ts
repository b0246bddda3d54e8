/**
 * A worker's part in trials. At the retry time it tries to win the trial and, if it wins, runs the upstream's probe. It
 * closes an idle half-open breaker, and asks to return after it was set aside.
 *
 * Every worker sets a timer from Redis' clock and a script picks the winner. A dead winner delays the next trial by at
 * most its lease.
 */
import type { Log } from '@recloser/runtime/observe/log';
import type { FleetBreaker } from './fleet-breaker.ts';
import type { FleetReply } from './record.ts';

export type ProbeResult = { readonly verdict: 'pass' | 'fail' | 'inconclusive'; readonly reason: string };

/** Sends the upstream a cheap read. Must settle when the signal aborts. */
export type Probe = (signal: AbortSignal) => Promise<ProbeResult>;

type TrialQueue = {
  getGlobalConcurrency(): Promise<number | null>;
  getJobCounts(...types: ('wait' | 'prioritized' | 'active')[]): Promise<Record<string, number>>;
};

type TrialRunnerOptions = {
  readonly fleet: FleetBreaker;
  readonly queue: TrialQueue;
  readonly worker: string;
  readonly leaseMs: number;
  readonly probeTimeoutMs: number;
  /** How often a half-open breaker is checked for being idle. Default 500 ms. */
  readonly lookMs?: number;
  readonly probe?: Probe;
  readonly log: Log;
  readonly onReply: (reply: FleetReply) => void;
};

const defaultLookMs = 500;
const shortestWaitMs = 20;

export class TrialRunner {
  readonly #options: TrialRunnerOptions;
  readonly #lookMs: number;
  #timer: NodeJS.Timeout | undefined;
  #step: Promise<void> = Promise.resolve();
  #busy = false;
  #stopped = false;
  #asideUntilMs = 0;

  constructor(options: TrialRunnerOptions) {
    this.#options = options;
    this.#lookMs = options.lookMs ?? defaultLookMs;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#step;
  }

  /** Schedules the next check according to the current state. */
  watch(reply: FleetReply, aside: boolean): void {
    if (this.#stopped || this.#busy) return;
    clearTimeout(this.#timer);
    const inMs = aside
      ? Math.max(this.#lookMs, this.#asideUntilMs - reply.nowMs)
      : nextLookMs(reply, this.#lookMs);
    if (inMs === null) return;
    // Jitter spreads the requests of a fleet.
    this.#timer = setTimeout(
      () => this.#look(reply, aside),
      Math.min(inMs + shortestWaitMs + Math.random() * 100, 2 ** 31 - 1),
    );
  }

  #look(reply: FleetReply, aside: boolean): void {
    this.#busy = true;
    this.#step = this.#act(reply, aside)
      .catch((error) => {
        this.#options.log.warn({ err: error }, 'could not check the breaker; will retry');
        return undefined;
      })
      .then((after) => {
        this.#busy = false;
        if (after) this.#options.onReply(after);
        else this.watch({ ...reply, nowMs: reply.nowMs + this.#lookMs }, aside);
      });
  }

  async #act({ breaker }: FleetReply, aside: boolean): Promise<FleetReply> {
    const { fleet, worker } = this.#options;
    if (aside) return await this.#comeBack();
    if (breaker.state === 'half_open' && !breaker.probing) {
      return (await this.#workIsLeft()) ? await fleet.snapshot() : await fleet.idle(worker);
    }
    return await this.#tryTrial();
  }

  async #tryTrial(): Promise<FleetReply> {
    const { fleet, queue, worker, leaseMs, probe, log, onReply } = this.#options;
    const reply = await fleet.beginTrial(
      worker,
      leaseMs,
      probe !== undefined,
      await queue.getGlobalConcurrency(),
    );
    if (!reply.won || !probe) return reply;
    onReply(reply);
    const { verdict, reason } = await this.#probe(probe);
    log.info({ verdict, reason, generation: reply.breaker.generation }, 'probed the upstream');
    return await fleet.endProbe(worker, reply.breaker.generation, verdict, reason);
  }

  async #comeBack(): Promise<FleetReply> {
    const { fleet, worker, probe } = this.#options;
    // Check the time first, so that the probe does not run too early.
    const early = await fleet.asideUntil(worker);
    this.#asideUntilMs = early.asideUntil ?? 0;
    if (early.asideUntil !== null && early.nowMs < early.asideUntil) return early;
    const works = probe ? (await this.#probe(probe)).verdict === 'pass' : true;
    return await fleet.comeBack(worker, works);
  }

  async #probe(probe: Probe): Promise<ProbeResult> {
    try {
      return await probe(AbortSignal.timeout(this.#options.probeTimeoutMs));
    } catch {
      return { verdict: 'inconclusive', reason: 'the probe threw an error' };
    }
  }

  async #workIsLeft(): Promise<boolean> {
    const counts = await this.#options.queue.getJobCounts('wait', 'prioritized', 'active');
    return Object.values(counts).some((count) => count > 0);
  }
}

/** Milliseconds until the next check. Null if none is needed. */
function nextLookMs({ breaker, nowMs }: FleetReply, lookMs: number): number | null {
  switch (breaker.state) {
    case 'closed':
      return null;
    case 'open':
      return Math.max(0, (breaker.retryAt ?? nowMs) - nowMs);
    case 'half_open':
      return breaker.probing ? Math.max(0, (breaker.leaseUntil ?? nowMs) - nowMs) : lookMs;
    default:
      return breaker.state satisfies never;
  }
}
