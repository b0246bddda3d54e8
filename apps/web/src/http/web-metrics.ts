/** What the web app counts. Labels are routes, codes and names from the configuration; never ids. */
import type { Metrics } from '@recloser/runtime/observe/metrics';

export type WebMetrics = {
  readonly contentType: string;
  text(): Promise<string>;
  accepted(upstream: string, operation: string, replayed: boolean): void;
  /** `route` is the pattern, not the path; `code` the problem's, if it was one. */
  answered(request: { route: string; method: string; status: number; seconds: number; code?: string }): void;
};

const buckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 30];

/** Registers the app's metrics. Once per registry. `beforeScrape` sets those that are read and not counted. */
export function createWebMetrics(metrics: Metrics, beforeScrape?: () => Promise<void>): WebMetrics {
  const calls = metrics.counter({
    name: 'calls_accepted_total',
    help: 'Calls Redis has stored, and repeats that were given the call they already had.',
    labels: ['upstream', 'operation', 'replayed'],
  });
  const refused = metrics.counter({
    name: 'http_problems_total',
    help: 'Requests answered with a problem, by its code.',
    labels: ['code'],
  });
  const durations = metrics.histogram({
    name: 'http_request_duration_seconds',
    help: 'Time to answer, long polls included.',
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
