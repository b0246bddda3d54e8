/**
 * The tracing interface of the apps. The context travels as W3C headers, also through Redis, because a call is made
 * long after its request was answered.
 *
 * Span attributes are names, numbers and ids; never input, paths, foreign hosts or personal data.
 */

/** `traceparent` and, if present, `tracestate`. */
export type TraceHeaders = Readonly<Record<string, string>>;

export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

export type Span = {
  /** Pass these on to make later spans children of this one. */
  readonly headers: TraceHeaders | undefined;
  /** For log lines. Empty without tracing. */
  readonly ids: { readonly trace_id?: string; readonly span_id?: string };
  set(attributes: SpanAttributes): void;
  /** Marks the span as failed. `type` is a short name from a fixed set. */
  fail(type: string): void;
  /** Idempotent. */
  end(): void;
};

export type SpanOptions = {
  readonly name: string;
  readonly kind: 'server' | 'producer' | 'consumer' | 'client';
  /** Absent: the span starts a new trace. */
  readonly parent?: TraceHeaders | undefined;
  /** A related span that is not the parent. */
  readonly link?: TraceHeaders | undefined;
  readonly attributes?: SpanAttributes;
};

export type Tracing = {
  span(options: SpanOptions): Span;
  /** Sends the remaining spans, within a few seconds. Never rejects. Idempotent. */
  stop(): Promise<void>;
};

/** The standard variables, as parsed by `envFields`. */
export type TracingConfig = {
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  readonly OTEL_TRACES_SAMPLER_ARG: number;
};

/** Traces nothing, and passes incoming headers on unchanged. */
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
