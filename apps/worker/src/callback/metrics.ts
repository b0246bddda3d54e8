/** The metrics of callbacks. Hosts come from requests, so they are not a label. */
import type { Metrics } from '@recloser/runtime/observe/metrics';

export type CallbackOutcome =
  | 'delivered'
  | 'refused-for-good'
  | 'superseded'
  | 'given_up'
  | 'forbidden'
  | 'unreadable';

export type CallbackMetrics = {
  /** `result`: `http_<status>`, or why there was no answer. */
  attempted(result: string, durationMs: number): void;
  settled(outcome: CallbackOutcome): void;
};

/** Registers the metrics. Call once per process. */
export function createCallbackMetrics(metrics: Metrics): CallbackMetrics {
  const attempts = metrics.histogram<'result'>({
    name: 'callback_attempt_duration_seconds',
    help: 'Duration of callback attempts, by class of the HTTP status.',
    labels: ['result'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
  });
  const settled = metrics.counter<'outcome'>({
    name: 'callbacks_settled_total',
    help: 'Settled callbacks, by outcome.',
    labels: ['outcome'],
  });
  return {
    attempted: (result, durationMs) => attempts.observe({ result: classOf(result) }, durationMs / 1000),
    settled: (outcome) => settled.inc({ outcome }),
  };
}

function classOf(result: string): string {
  const [, digit] = /^http_([1-5])\d\d$/.exec(result) ?? [];
  return digit ? `${digit}xx` : 'no_answer';
}
