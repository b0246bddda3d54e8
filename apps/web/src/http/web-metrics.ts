/** The metrics of the web app. Labels never contain ids, which keeps their cardinality bounded. */
import type { Metrics } from '@recloser/runtime/observe/metrics';

export type WebMetrics = {
  readonly contentType: string;
  text(): Promise<string>;
  accepted(upstream: string, operation: string, replayed: boolean): void;
  /** `route` is the pattern, not the path. `code` is the code of the problem, if any. */
  answered(request: { route: string; method: string; status: number; seconds: number; code?: string }): void;
};

const buckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 30];

/** Registers the metrics, once per registry. `beforeScrape` sets the gauges that are read from Redis. */
export function createWebMetrics(metrics: Metrics, beforeScrape?: () => Promise<void>): WebMetrics {
  const calls = metrics.counter({
    name: 'calls_accepted_total',
    help: 'Accepted calls. replayed is true for requests that were answered with an earlier call.',
    labels: ['upstream', 'operation', 'replayed'],
  });
  const refused = metrics.counter({
    name: 'http_problems_total',
    help: 'Responses with a problem, by its code.',
    labels: ['code'],
  });
  const durations = metrics.histogram({
    name: 'http_request_duration_seconds',
    help: 'Response time, including long polls.',
    labels: ['route', 'method', 'status'],
    buckets,
  });
  return {
    contentType: metrics.contentType,
    async text() {
      await beforeScrape?.();
      return metrics.text();
    },
    accepted: (upstream, operation, replayed) =>
      calls.inc({ upstream, operation, replayed: String(replayed) }),
    answered({ route, method, status, seconds, code }) {
      durations.observe({ route, method, status: String(status) }, seconds);
      if (code !== undefined) refused.inc({ code });
    },
  };
}
