/**
 * One Prometheus registry per process, with Node's own metrics in it. All names begin with `recloser_`.
 *
 * Always true: labels are few and bounded (upstream, operation, outcome); never ids, never anything personal.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const prefix = 'recloser_';

/** Gauges that prom-client calls `_total` as if they were counters: promtool refuses them, nobody has missed them. */
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

/** The registry and makers of metrics in it. */
export type Metrics = {
  readonly registry: Registry;
  /** Content type of {@link Metrics.text}. */
  readonly contentType: string;
  /** What `GET /metrics` answers. */
  text(): Promise<string>;
  counter<Label extends string = never>(options: MetricOptions<Label>): Counter<Label>;
  /** `collect` is called at each scrape, to set the gauge then. */
  gauge<Label extends string = never>(
    options: MetricOptions<Label> & { readonly collect?: (gauge: Gauge<Label>) => void | Promise<void> },
  ): Gauge<Label>;
  /** Buckets in the unit the name says, seconds by convention. */
  histogram<Label extends string = never>(
    options: MetricOptions<Label> & { readonly buckets: readonly number[] },
  ): Histogram<Label>;
};

/** A fresh registry whose every metric carries the label `app`. */
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
