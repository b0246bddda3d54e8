/**
 * Traces, in the few words that the apps need. A context travels as W3C headers, also through Redis, because a call is
 * made long after its request has been answered.
 *
 * Always true: without an endpoint nothing is traced, nothing of OpenTelemetry is loaded, and the headers that came in
 * go out as they were; what is set on a span is names, numbers and ids, never input, paths, hosts of others or people.
 */

/** `traceparent` and perhaps `tracestate`. */
export type TraceHeaders = Readonly<Record<string, string>>;

export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** What is being done now, from its start until `end`. */
export type Span = {
  /** To be handed on, so that what comes of it is found under this span. */
  readonly headers: TraceHeaders | undefined;
  /** For log lines; empty without tracing. */
  readonly ids: { readonly trace_id?: string; readonly span_id?: string };
  set(attributes: SpanAttributes): void;
  /** Marks it as failed; `type` is a short name from a fixed set. */
  fail(type: string): void;
  /** Safe to call twice. */
  end(): void;
};

export type SpanOptions = {
  readonly name: string;
  readonly kind: 'server' | 'producer' | 'consumer' | 'client';
  /** What it is a part of; absent: a trace of its own. */
  readonly parent?: TraceHeaders | undefined;
  /** What it has to do with and is no part of. */
  readonly link?: TraceHeaders | undefined;
  readonly attributes?: SpanAttributes;
};

export type Tracing = {
  span(options: SpanOptions): Span;
  /** Sends what is left, within a few seconds. Never rejects; safe to call twice. */
  stop(): Promise<void>;
};

/** The standard variables, as `envFields` parses them. */
export type TracingConfig = {
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  readonly OTEL_TRACES_SAMPLER_ARG: number;
};

/** Traces nothing. */
export const noTracing: Tracing = {
  span: ({ parent, link }) => ({
    headers: parent ?? link,
    ids: {},
    set: () => {},
    fail: () => {},
    end: () => {},
  }),
  stop: async () => {},
};
