/**
 * A BullMQ worker with a health check of its fetch loop. BullMQ's `isRunning` stays true while a fetch hangs on a dead
 * connection. This worker records each fetch that Redis answered, with a job or without. A blocking fetch ends after 10 s
 * at most, even while the queue is paused, so a longer silence means that no jobs are fetched.
 */

import type { Log } from '@recloser/runtime/observe/log';
import type { HealthCheck } from '@recloser/runtime/process/health';
import { type Job, Worker, type WorkerOptions } from 'bullmq';
import type { Timings } from './timings.ts';

export type FetchLoop = {
  readonly running: boolean;
  /** Set aside by the breaker, or stopping. */
  readonly paused: boolean;
  readonly active: number;
  readonly capacity: number;
  /** Time since the last answered fetch, or since the start. */
  readonly silentMs: number;
};

export type JobProcessor<Data, Result> = (
  job: Job<Data, Result>,
  token: string,
  signal: AbortSignal,
) => Promise<Result>;

/** Called with a result that Redis refused, because this worker lost the job's lock or the job was removed. */
export type OnRefused<Data, Result> = (job: Job<Data, Result>, result: Result) => Promise<void>;

/** BullMQ's options. The intervals come from `timings`. */
export type CallWorkerOptions = Omit<
  WorkerOptions,
  'autorun' | 'lockDuration' | 'stalledInterval' | 'drainDelay' | 'runRetryDelay'
> & { readonly timings: Timings };

const restartMs = 1_000;

export class CallWorker<Data, Result> extends Worker<Data, Result> {
  #fetchedAt = performance.now();
  readonly #silenceMs: number;
  /** Set it before `run`. */
  onRefused: OnRefused<Data, Result> | undefined;

  /** Does not start fetching. Call `keepRunning`. */
  constructor(
    name: string,
    processor: JobProcessor<Data, Result>,
    { timings, ...options }: CallWorkerOptions,
  ) {
    // BullMQ creates a signal only for a function with three parameters.
    const run = (job: Job<Data, Result>, token: string | undefined, signal: AbortSignal | undefined) =>
      processor(job, token ?? '', signal ?? new AbortController().signal);
    super(name, run, {
      ...options,
      autorun: false,
      lockDuration: timings.lockMs,
      stalledInterval: timings.stalledCheckMs,
      drainDelay: timings.blockMs / 1000,
      runRetryDelay: restartMs,
    });
    this.#silenceMs = timings.fetchSilenceMs;
  }

  /** Starts the fetch loop, and restarts it if it ends with an error. Until then the worker is not ready. */
  keepRunning(log: Log<'error'>): void {
    this.run().catch((err: unknown) => {
      log.error({ err, queue: this.name }, 'the fetch loop failed; restarting it');
      setTimeout(() => {
        if (this.closing === undefined && !this.isPaused()) this.keepRunning(log);
      }, restartMs).unref();
    });
  }

  /** Whether jobs are fetched. Part of readiness. */
  check(name: string): HealthCheck {
    const output = fetchLoopProblem(this.fetchLoop, this.#silenceMs);
    return { name, status: output ? 'fail' : 'pass', ...(output && { output }) };
  }

  get fetchLoop(): FetchLoop {
    return {
      running: this.isRunning(),
      paused: this.isPaused() || this.closing !== undefined,
      active: this.lockManager.getActiveJobCount(),
      capacity: this.concurrency,
      silentMs: performance.now() - this.#fetchedAt,
    };
  }

  protected override async handleCompleted(
    ...finished: Parameters<Worker<Data, Result>['handleCompleted']>
  ): ReturnType<Worker<Data, Result>['handleCompleted']> {
    try {
      return await super.handleCompleted(...finished);
    } catch (error) {
      const [result, job] = finished;
      if (isRefusal(error)) await this.onRefused?.(job, result);
      throw error;
    }
  }

  /** BullMQ calls this for each answered fetch, including the fetch that finishes a job. */
  protected override nextJobFromJobData(
    ...answer: Parameters<Worker<Data, Result>['nextJobFromJobData']>
  ): ReturnType<Worker<Data, Result>['nextJobFromJobData']> {
    this.#fetchedAt = performance.now();
    return super.nextJobFromJobData(...answer);
  }
}

/** BullMQ's scripts refuse with a negative code. Redis failures have a text code or none. */
function isRefusal(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'number' && code < 0;
}

/** The problem of a fetch loop in one sentence. Null if it runs, or rests for a known reason. */
export function fetchLoopProblem(loop: FetchLoop, silenceMs: number): string | null {
  if (loop.paused) return null;
  if (!loop.running) return 'The fetch loop is not running.';
  // With all slots taken, nothing is fetched until a call finishes. Each call has a timeout.
  if (loop.active >= loop.capacity) return null;
  if (loop.silentMs <= silenceMs) return null;
  return `Redis has answered no fetch for ${Math.round(loop.silentMs / 1000)} s.`;
}
