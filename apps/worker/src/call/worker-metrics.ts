/**
 * What a worker counts. Labels are few and bounded: upstream, operation, outcome; never an id.
 */
import type { Metrics } from '@recloser/runtime/observe/metrics';

/** The counters of one upstream. */
export type WorkerMetrics = {
  /** One attempt. `outcome` is the outcome's kind, or `verify-…` for a read-back. */
  attempt(operation: string, outcome: string, durationMs: number): void;
  /** An attempt made while the breaker was half-open: a call's, or the upstream's probe as `probe-…`. */
  trial(outcome: string): void;
  /** A call that ended; `status` as the API shows it. */
  finished(operation: string, status: string): void;
  /** A call that was given back unspent. */
  givenBack(reason: GiveBackReason): void;
  /** A call whose worker was lost. */
  stalled(): void;
};

/** Registers the metrics once per process and returns the counters of any upstream. */
export function createWorkerMetrics(metrics: Metrics): (upstream: string) => WorkerMetrics {
  const attempts = metrics.histogram<'upstream' | 'operation' | 'outcome'>({
    name: 'attempt_duration_seconds',
    help: 'Attempts, by what they showed, and how long they took.',
    labels: ['upstream', 'operation', 'outcome'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60],
  });
  const finished = metrics.counter<'upstream' | 'operation' | 'outcome'>({
    name: 'calls_finished_total',
    help: 'Calls that reached their end, by status.',
    labels: ['upstream', 'operation', 'outcome'],
  });
  const trials = metrics.counter<'upstream' | 'outcome'>({
    name: 'trials_total',
    help: 'Attempts made while the breaker was half-open, by what they showed; those of the probe as probe-….',
    labels: ['upstream', 'outcome'],
  });
  const givenBack = metrics.counter<'upstream' | 'reason'>({
    name: 'calls_given_back_total',
    help: 'Calls given back without spending an attempt.',
    labels: ['upstream', 'reason'],
  });
  const stalled = metrics.counter<'upstream'>({
    name: 'call_stalls_total',
    help: 'Calls found without a living worker and put back.',
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
