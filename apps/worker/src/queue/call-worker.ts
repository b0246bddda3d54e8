/**
 * A BullMQ worker whose fetch loop can be watched from outside. BullMQ itself does not say whether its loop
 * turns; "running" stays true when a fetch hangs for ever on a dead connection.
 *
 * Always true: a turn is noted only after Redis answered a fetch (a job or "nothing there"), so silence means
 * that no job would be taken. A blocking fetch ends by itself after 10 s at most, also while the queue is paused.
 */

import type { Logger } from '@recloser/runtime/observe/logger';
import type { HealthCheck } from '@recloser/runtime/process/health';
import { type Job, Worker, type WorkerOptions } from 'bullmq';
import type { Timings } from './timings.ts';

/** How a fetch loop stands. */
export type FetchLoop = {
  readonly running: boolean;
  /** Told to take nothing: set aside by the breaker, or stopping. */
  readonly paused: boolean;
  readonly active: number;
  readonly capacity: number;
  /** Since the last answered fetch, or since the start. */
  readonly silentMs: number;
};

/** What a worker runs for each job. */
export type JobProcessor<Data, Result> = (
  job: Job<Data, Result>,
  token: string,
  signal: AbortSignal,
) => Promise<Result>;

/** Told of a job's result that Redis did not take, because the job is another worker's by now or is gone. */
export type OnRefused<Data, Result> = (job: Job<Data, Result>, result: Result) => Promise<void>;

/** BullMQ's options, of which the pace comes from `timings`. */
export type CallWorkerOptions = Omit<
  WorkerOptions,
  'autorun' | 'lockDuration' | 'stalledInterval' | 'drainDelay' | 'runRetryDelay'
> & { readonly timings: Timings };

const againMs = 1_000;

export class CallWorker<Data, Result> extends Worker<Data, Result> {
  #turnedAt = performance.now();
  readonly #silenceMs: number;
  /** To be set before `run`. */
  onRefused: OnRefused<Data, Result> | undefined;

  /** Does not start by itself: see `run`. */
  constructor(
    name: string,
    processor: JobProcessor<Data, Result>,
    { timings, ...options }: CallWorkerOptions,
  ) {
    // BullMQ makes a signal only for a function that takes three arguments.
    const run = (job: Job<Data, Result>, token: string | undefined, signal: AbortSignal | undefined) =>
      processor(job, token ?? '', signal ?? new AbortController().signal);
    super(name, run, {
      ...options,
      autorun: false,
      lockDuration: timings.lockMs,
      stalledInterval: timings.stalledCheckMs,
      drainDelay: timings.blockMs / 1000,
      runRetryDelay: againMs,
    });
    this.#silenceMs = timings.fetchSilenceMs;
  }

  /** BullMQ's loop is not meant to end; should it all the same, it is begun again and readiness says so meanwhile. */
  keepRunning(log: Pick<Logger, 'error'>): void {
    this.run().catch((err: unknown) => {
      log.error({ err, queue: this.name }, 'the fetch loop broke; starting it again');
      setTimeout(() => {
        if (this.closing === undefined && !this.isPaused()) this.keepRunning(log);
      }, againMs).unref();
    });
  }

  /** Whether jobs are fetched; part of readiness. */
  check(name: string): HealthCheck {
    const output = fetchLoopProblem(this.fetchLoop, this.#silenceMs);
    return { name, status: output ? 'fail' : 'pass', ...(output && { output }) };
  }

  /** How the fetch loop stands now. */
  get fetchLoop(): FetchLoop {
    return {
      running: this.isRunning(),
      paused: this.isPaused() || this.closing !== undefined,
      active: this.lockManager.getActiveJobCount(),
      capacity: this.concurrency,
      silentMs: performance.now() - this.#turnedAt,
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

  /** Every answer to a fetch comes through here, from a plain fetch and from the one that ends a job alike. */
  protected override nextJobFromJobData(
    ...answer: Parameters<Worker<Data, Result>['nextJobFromJobData']>
  ): ReturnType<Worker<Data, Result>['nextJobFromJobData']> {
    this.#turnedAt = performance.now();
    return super.nextJobFromJobData(...answer);
  }
}

/** BullMQ's scripts refuse with a negative number; trouble with Redis has a text for a code, or none. */
function isRefusal(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'number' && code < 0;
}

/** Null when the loop turns or rests for a reason; otherwise what is wrong with it, in a sentence. */
export function fetchLoopProblem(loop: FetchLoop, silenceMs: number): string | null {
  if (loop.paused) return null;
  if (!loop.running) return 'The fetch loop does not run.';
  // With all places taken nothing is fetched until a call ends; each call has a time limit of its own.
  if (loop.active >= loop.capacity) return null;
  if (loop.silentMs <= silenceMs) return null;
  return `The fetch loop has not turned for ${Math.round(loop.silentMs / 1000)} s.`;
}
