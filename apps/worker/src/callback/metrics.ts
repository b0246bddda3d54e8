/** What is counted of callbacks. No host is a label: they come from requests. */
import type { Metrics } from '@recloser/runtime/observe/metrics';

export type CallbackOutcome =
  | 'delivered'
  | 'refused-for-good'
  | 'superseded'
  | 'given_up'
  | 'forbidden'
  | 'unreadable';

export type CallbackMetrics = {
  /** One POST. `result`: `http_<status>` or why there was none. */
  attempted(result: string, durationMs: number): void;
  /** A callback that came to an end. */
  settled(outcome: CallbackOutcome): void;
};

/** Registers the metrics; once per process. */
export function createCallbackMetrics(metrics: Metrics): CallbackMetrics {
  const attempts = metrics.histogram<'result'>({
    name: 'callback_attempt_duration_seconds',
    help: 'Callbacks sent, by class of the answer, and how long they took.',
    labels: ['result'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
  });
  const settled = metrics.counter<'outcome'>({
    name: 'callbacks_settled_total',
    help: 'Callbacks that came to an end, by how.',
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
