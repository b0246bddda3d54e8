/**
 * Executes the retry runs: retries failed calls in batches at the rate of the run. A lease selects one admin process.
 * A run pauses while a hold is active or the breaker is not closed. A call that may have been done is never retried.
 */
import { randomUUID } from 'node:crypto';
import { readUpstreamState } from '@recloser/breaker/upstream-state';
import { retryCall } from '@recloser/calls/write/retry-call';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { endRetryRun, isGoing, preparing, type RetryRun, readRetryRun, retryRunKeys } from './retry-run.ts';

const lookMs = 500;
const longestPreparationMs = 60_000;
const leaseMs = 5_000;
/** Largest batch, at any rate. */
const largestDose = 50;

const leaseScript = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

/** Checks for runs until stopped. */
export class RetryRunner {
  readonly #redis: Redis;
  readonly #upstreams: readonly AdminUpstream[];
  readonly #log: Pick<Logger, 'warn'>;
  readonly #lookMs: number;
  readonly #token = randomUUID();
  /** Time up to which each run has received its batches, in ms of the monotonic clock. */
  readonly #paidMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #look: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(deps: {
    redis: Redis;
    upstreams: readonly AdminUpstream[];
    log: Pick<Logger, 'warn'>;
    /** Interval between two checks, in ms. */
    lookMs?: number;
  }) {
    this.#redis = deps.redis;
    this.#upstreams = deps.upstreams;
    this.#log = deps.log;
    this.#lookMs = deps.lookMs ?? lookMs;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#look = this.#lookAtAll().finally(() => {
        if (!this.#stopped) this.start();
      });
    }, this.#lookMs);
  }

  /** Stops after the current batch. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#look;
  }

  async #lookAtAll(): Promise<void> {
    for (const upstream of this.#upstreams) {
      try {
        await this.#advance(upstream);
      } catch (err) {
        // Redis cannot be reached. The next check continues the run.
        this.#log.warn({ err, upstream: upstream.definition.name }, 'a retry run could not continue');
      }
    }
  }

  async #advance(upstream: AdminUpstream): Promise<void> {
    const source = { redis: this.#redis, root: upstream.root };
    const run = await readRetryRun(source);
    if (run === null || !isGoing(run)) return;
    if (run.note === preparing) {
      // The process that prepared the run is gone.
      if (Date.now() - run.startedAt > longestPreparationMs)
        await endRetryRun(source, 'stopped', 'interrupted during preparation');
      return;
    }
    const { lease, run: runKey } = retryRunKeys(upstream.root);
    if ((await this.#redis.eval(leaseScript, 1, lease, this.#token, leaseMs)) !== 1) return;
    const why = await whyWait(source);
    if (why !== null) {
      this.#paidMs.delete(run.id);
      if (run.note !== why) await this.#redis.hset(runKey, { state: 'waiting', note: why });
      return;
    }
    if (run.state === 'waiting') await this.#redis.hset(runKey, { state: 'running', note: '' });
    await this.#dose(upstream, run);
  }

  async #dose(upstream: AdminUpstream, run: RetryRun): Promise<void> {
    const source = { redis: this.#redis, root: upstream.root };
    const { ids, run: runKey } = retryRunKeys(upstream.root);
    const everyMs = 60_000 / run.perMinute;
    const nowMs = performance.now();
    // The first call is retried at once, the others at the rate of the run.
    const paidMs = this.#paidMs.get(run.id) ?? nowMs - everyMs;
    const due = Math.min(largestDose, Math.floor((nowMs - paidMs) / everyMs));
    if (due < 1) return;
    this.#paidMs.set(run.id, due === largestDose ? nowMs : paidMs + due * everyMs);
    const dose = (await this.#redis.lpop(ids, due)) ?? [];
    for (const id of dose) {
      const end = await retryCall({ redis: this.#redis, ...upstream }, id, Date.now());
      await this.#redis.hincrby(runKey, end === 'waiting' ? 'done' : 'skipped', 1);
    }
    if (dose.length < due) {
      this.#paidMs.delete(run.id);
      await endRetryRun(source, 'finished', '');
    }
  }
}

async function whyWait(source: { redis: Redis; root: string }): Promise<string | null> {
  const { holds, breaker } = await readUpstreamState(source);
  if (holds.length > 0)
    return `a hold is active: ${holds.map(({ kind }) => kind).join(', ')}; the run continues automatically`;
  return breaker.state === 'closed' ? null : 'the breaker is not closed yet; the run continues automatically';
}
