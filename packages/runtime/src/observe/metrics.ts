/**
 * One Prometheus registry per process, with Node's default metrics. All names start with `recloser_`. Labels are few
 * and bounded (upstream, operation, outcome); never ids or personal data.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const prefix = 'recloser_';

/** Gauges that prom-client names like counters (`_total`). promtool rejects them. */
const misnamed = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

type MetricOptions<Label extends string> = {
  /** Without the prefix: `calls_accepted_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly Label[];
};

export type Metrics = {
  readonly registry: Registry;
  /** Content type of {@link Metrics.text}. */
  readonly contentType: string;
  /** The body of `GET /metrics`. */
  text(): Promise<string>;
  counter<Label extends string = never>(options: MetricOptions<Label>): Counter<Label>;
  /** `collect` runs at each scrape and sets the gauge. */
  gauge<Label extends string = never>(
    options: MetricOptions<Label> & { readonly collect?: (gauge: Gauge<Label>) => void | Promise<void> },
  ): Gauge<Label>;
  /** Buckets use the unit in the name, by convention seconds. */
  histogram<Label extends string = never>(
    options: MetricOptions<Label> & { readonly buckets: readonly number[] },
  ): Histogram<Label>;
};

/** Creates a registry in which every metric has the label `app`. */
export function createMetrics(app: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ app });
  collectDefaultMetrics({ register: registry, prefix });
  for (const name of misnamed) registry.removeSingleMetric(prefix + name);
  return {
    registry,
    contentType: registry.contentType,
    text: () => registry.metrics(),
    counter: ({ name, help, labels = [] }) =>
      new Counter({ name: prefix + name, help, labelNames: [...labels], registers: [registry] }),
    gauge: ({ name, help, labels = [], collect }) =>
      new Gauge({
        name: prefix + name,
        help,
        labelNames: [...labels],
        registers: [registry],
        ...(collect && {
          collect() {
            return collect(this);
          },
        }),
      }),
    histogram: ({ name, help, labels = [], buckets }) =>
      new Histogram({
        name: prefix + name,
        help,
        labelNames: [...labels],
        buckets: [...buckets],
        registers: [registry],
      }),
  };
}
