/**
 * This worker's part in trials: at the retry time it tries to win the trial, runs the upstream's probe if it
 * won, closes an idle half-open breaker, and asks to come back when it has been set aside.
 * Always true: no process owns the timer. Every worker sets its own from Redis' clock, and a script decides who
 * wins, so a dead winner delays the next trial by no more than its lease.
 */
import type { FleetBreaker } from './fleet-breaker.ts';
import type { ReconcilerLog } from './reconciler.ts';
import type { FleetReply } from './record.ts';

export type ProbeResult = { readonly verdict: 'pass' | 'fail' | 'inconclusive'; readonly reason: string };

/** Asks the upstream something cheap and safe; must settle when the signal aborts. */
export type Probe = (signal: AbortSignal) => Promise<ProbeResult>;

type TrialQueue = {
  getGlobalConcurrency(): Promise<number | null>;
  getJobCounts(...types: ('wait' | 'prioritized' | 'active')[]): Promise<Record<string, number>>;
};

export type TrialRunnerOptions = {
  readonly fleet: FleetBreaker;
  readonly queue: TrialQueue;
  readonly worker: string;
  readonly leaseMs: number;
  readonly probeTimeoutMs: number;
  /** How often a half-open breaker is looked at for being idle. Default 500 ms. */
  readonly lookMs?: number;
  readonly probe?: Probe;
  readonly log: ReconcilerLog;
  readonly onReply: (reply: FleetReply) => void;
};

const defaultLookMs = 500;
/** The shortest wait before a try. */
const soonMs = 20;

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

  /** Sets the next look by what stands now. */
  watch(reply: FleetReply, aside: boolean): void {
    if (this.#stopped || this.#busy) return;
    clearTimeout(this.#timer);
    const inMs = aside
      ? Math.max(this.#lookMs, this.#asideUntilMs - reply.nowMs)
      : nextLookMs(reply, this.#lookMs);
    if (inMs === null) return;
    // The jitter keeps a fleet from asking in the same instant.
    this.#timer = setTimeout(
      () => this.#look(reply, aside),
      Math.min(inMs + soonMs + Math.random() * 100, 2 ** 31 - 1),
    );
  }

  #look(reply: FleetReply, aside: boolean): void {
    this.#busy = true;
    this.#step = this.#act(reply, aside)
      .catch((error) => {
        this.#options.log.warn({ err: error }, 'a look at the breaker failed; will try again');
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
    // The script refuses before the time is up; asking with "no" first would start it anew, so look first.
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
      return { verdict: 'inconclusive', reason: 'the probe itself broke' };
    }
  }

  async #workIsLeft(): Promise<boolean> {
    const counts = await this.#options.queue.getJobCounts('wait', 'prioritized', 'active');
    return Object.values(counts).some((count) => count > 0);
  }
}

/** Milliseconds until this worker should look again; null when there is nothing to look for. */
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
