/** Starts tracing if an endpoint is configured. Otherwise OpenTelemetry is not loaded. */
import type { Logger } from './logger.ts';
import { noTracing, type Tracing, type TracingConfig } from './tracing.ts';

/** `service` is the process, such as `recloser-web`. */
export async function startTracing(
  config: TracingConfig,
  { service, log }: { readonly service: string; readonly log: Logger },
): Promise<Tracing> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER_ARG: ratio } = config;
  if (endpoint === undefined) return noTracing;
  // Loading it takes 45 MB of memory and up to a second.
  const { createTracing } = await import('./tracing-otlp.ts');
  log.info({ ratio }, 'sending traces');
  return createTracing({ endpoint, ratio, service, log });
}
