/**
 * Carries out the retry runs: puts failed calls back, so many a minute. Always true: of several admin processes
 * one does it (a lease), nothing is put back while a hold is active or the breaker is not closed, and a call
 * that may have been done is never put back.
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
/** At most so many in one go, whatever the pace, so that a look never takes long. */
const largestDose = 50;

const leaseScript = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

/** Looks for runs until stopped. */
export class RetryRunner {
  readonly #redis: Redis;
  readonly #upstreams: readonly AdminUpstream[];
  readonly #log: Pick<Logger, 'warn'>;
  readonly #lookMs: number;
  readonly #token = randomUUID();
  /** Up to when each run has had its doses, in ms of this process' own clock. */
  readonly #paidMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #look: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(deps: {
    redis: Redis;
    upstreams: readonly AdminUpstream[];
    log: Pick<Logger, 'warn'>;
    /** How often it looks for runs and gives doses. */
    lookMs?: number;
  }) {
    this.#redis = deps.redis;
    this.#upstreams = deps.upstreams;
    this.#log = deps.log;
    this.#lookMs = deps.lookMs ?? lookMs;
  }

  /** Begins to look. */
  start(): void {
    this.#timer = setTimeout(() => {
      this.#look = this.#lookAtAll().finally(() => {
        if (!this.#stopped) this.start();
      });
    }, this.#lookMs);
  }

  /** Ends after the dose that is being given; safe twice. */
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
        // Redis is away: the run is where it was, and the next look goes on with it.
        this.#log.warn({ err, upstream: upstream.definition.name }, 'a retry run could not go on');
      }
    }
  }

  async #advance(upstream: AdminUpstream): Promise<void> {
    const source = { redis: this.#redis, root: upstream.root };
    const run = await readRetryRun(source);
    if (run === null || !isGoing(run)) return;
    if (run.note === preparing) {
      // The process that was choosing the calls is gone: nobody will finish that.
      if (Date.now() - run.startedAt > longestPreparationMs)
        await endRetryRun(source, 'stopped', 'it was interrupted while being prepared');
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
    // The first call goes at once, the others at the pace.
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
    return `a hold is active: ${holds.map(({ kind }) => kind).join(', ')}; it goes on by itself`;
  return breaker.state === 'closed' ? null : 'the breaker is not closed yet; it goes on by itself';
}
