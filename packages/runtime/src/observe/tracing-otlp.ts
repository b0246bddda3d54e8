/**
 * Sends traces to an OTLP receiver with OpenTelemetry's SDK, as protobuf over HTTP. The exporter reads its standard
 * variables for headers, certificates and timeouts.
 *
 * There is no ambient context: each span names its parent when it starts. If the receiver is unreachable, spans are
 * lost and calls continue.
 */
import {
  type Attributes,
  type Context,
  createTraceState,
  DiagLogLevel,
  diag,
  isSpanContextValid,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from './logger.ts';
import { parseTraceparent } from './traceparent.ts';
import type { Span, SpanAttributes, SpanOptions, TraceHeaders, Tracing } from './tracing.ts';

const delayMs = 1_000;
const stopMs = 3_000;
const warnIntervalMs = 60_000;

const kinds = {
  server: SpanKind.SERVER,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  client: SpanKind.CLIENT,
} as const;

/** `ratio`: share of the traces started here that are kept. An incoming trace follows its sender's decision. */
export function createTracing(options: {
  readonly endpoint: string;
  readonly ratio: number;
  readonly service: string;
  readonly log: Logger;
}): Tracing {
  const { endpoint, ratio, service, log } = options;
  logProblems(log);
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.namespace': 'recloser' }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: delayMs })],
  });
  const tracer = provider.getTracer('recloser');
  let stopped: Promise<void> | undefined;
  return {
    span({ name, kind, parent, link, attributes = {} }: SpanOptions): Span {
      const linked = contextOf(link);
      const settings = {
        kind: kinds[kind],
        attributes: defined(attributes),
        ...(linked && { links: [{ context: linked }] }),
      };
      return wrap(tracer.startSpan(name, settings, under(parent)));
    },
    stop() {
      stopped ??= within(stopMs, provider.shutdown());
      return stopped;
    },
  };
}

function wrap(span: OtelSpan): Span {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const state = traceState?.serialize();
  const flags = traceFlags.toString(16).padStart(2, '0');
  let ended = false;
  return {
    headers: {
      traceparent: `00-${traceId}-${spanId}-${flags}`,
      ...(state && { tracestate: state }),
    },
    ids: { trace_id: traceId, span_id: spanId },
    set: (attributes) => void span.setAttributes(defined(attributes)),
    fail(type) {
      span.setAttribute('error.type', type);
      span.setStatus({ code: SpanStatusCode.ERROR });
    },
    end() {
      if (!ended) span.end();
      ended = true;
    },
  };
}

function under(parent: TraceHeaders | undefined): Context {
  const context = contextOf(parent);
  return context ? trace.setSpanContext(ROOT_CONTEXT, context) : ROOT_CONTEXT;
}

function contextOf(headers: TraceHeaders | undefined): SpanContext | undefined {
  const parent = parseTraceparent(headers?.traceparent);
  if (!parent) return undefined;
  const { traceId, spanId, flags } = parent;
  const state = headers?.tracestate;
  const context = {
    ...{ traceId, spanId, traceFlags: flags & 1, isRemote: true },
    ...(state !== undefined && { traceState: createTraceState(state) }),
  };
  return isSpanContextValid(context) ? context : undefined;
}

function defined(attributes: SpanAttributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

/** Logs the SDK's problems. Rate-limited, because an unreachable receiver would fill the log. */
function logProblems(log: Logger): void {
  let warnedAt = Number.NEGATIVE_INFINITY;
  const warn = (problem: string): void => {
    if (performance.now() - warnedAt < warnIntervalMs) return;
    warnedAt = performance.now();
    log.warn({ problem }, 'cannot send traces');
  };
  const silent = (): void => {};
  const suppressOverrideMessage = true;
  const logger = { error: warn, warn, info: silent, debug: silent, verbose: silent };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage });
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([work.catch(() => undefined), promise]);
  clearTimeout(timer);
}
