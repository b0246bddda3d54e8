/** The metrics of a worker. Labels are bounded: upstream, operation, outcome; never an id. */
import type { Metrics } from '@recloser/runtime/observe/metrics';

/** The counters of one upstream. */
export type WorkerMetrics = {
  /** `outcome`: the outcome's kind, prefixed `verify-` for a read-back. */
  attempt(operation: string, outcome: string, durationMs: number): void;
  /** An attempt made while the breaker was half-open. A probe has the prefix `probe-`. */
  trial(outcome: string): void;
  /** `status`: as in the API. */
  finished(operation: string, status: string): void;
  givenBack(reason: GiveBackReason): void;
  stalled(): void;
};

/** Registers the metrics. Call once per process. Returns a function that creates the counters of one upstream. */
export function createWorkerMetrics(metrics: Metrics): (upstream: string) => WorkerMetrics {
  const attempts = metrics.histogram<'upstream' | 'operation' | 'outcome'>({
    name: 'attempt_duration_seconds',
    help: 'Duration of attempts, by outcome.',
    labels: ['upstream', 'operation', 'outcome'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60],
  });
  const finished = metrics.counter<'upstream' | 'operation' | 'outcome'>({
    name: 'calls_finished_total',
    help: 'Finished calls, by status.',
    labels: ['upstream', 'operation', 'outcome'],
  });
  const trials = metrics.counter<'upstream' | 'outcome'>({
    name: 'trials_total',
    help: 'Attempts made while the breaker was half-open, by outcome. Probes have the prefix probe-.',
    labels: ['upstream', 'outcome'],
  });
  const givenBack = metrics.counter<'upstream' | 'reason'>({
    name: 'calls_given_back_total',
    help: 'Calls given back without charging an attempt, by reason.',
    labels: ['upstream', 'reason'],
  });
  const stalled = metrics.counter<'upstream'>({
    name: 'call_stalls_total',
    help: 'Calls put back because their worker crashed or froze.',
    labels: ['upstream'],
  });
  return (upstream) => ({
    attempt: (operation, outcome, durationMs) =>
      attempts.observe({ upstream, operation, outcome }, durationMs / 1000),
    trial: (outcome) => trials.inc({ upstream, outcome }),
    finished: (operation, outcome) => finished.inc({ upstream, operation, outcome }),
    givenBack: (reason) => givenBack.inc({ upstream, reason }),
    stalled: () => stalled.inc({ upstream }),
  });
}

export type GiveBackReason =
  | 'hold'
  | 'no_permit'
  | 'trial'
  | 'read_back'
  | 'shutdown'
  | 'not_run'
  | 'suspect'
  | 'not_understood'
  | 'fault';
