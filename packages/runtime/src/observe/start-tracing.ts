/** Starts tracing where an endpoint is configured. Nothing of OpenTelemetry is loaded before. */
import type { Logger } from './logger.ts';
import { noTracing, type Tracing, type TracingConfig } from './tracing.ts';

/** Traces to the endpoint that is configured, or not at all. `service` is the process: `recloser-web`. */
export async function startTracing(
  config: TracingConfig,
  { service, log }: { readonly service: string; readonly log: Logger },
): Promise<Tracing> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER_ARG: ratio } = config;
  if (endpoint === undefined) return noTracing;
  // Loaded only when wanted: it costs a process 45 MB, and its start up to a second.
  const { createTracing } = await import('./tracing-otlp.ts');
  log.info({ ratio }, 'traces are sent');
  return createTracing({ endpoint, ratio, service, log });
}
