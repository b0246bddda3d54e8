/** Receives traces on loopback like a collector (OTLP, protobuf over HTTP), and keeps the spans. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import protobuf from 'protobufjs';

/** The part of opentelemetry-proto's trace schema that tests use. */
const schema = `
syntax = "proto3";
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
message KeyValue { string key = 1; AnyValue value = 2; }
message Link { bytes trace_id = 1; bytes span_id = 2; }
message Status { string message = 2; int32 code = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
  repeated KeyValue attributes = 9; repeated Link links = 13; Status status = 15;
}
message ScopeSpans { repeated Span spans = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Request { repeated ResourceSpans resource_spans = 1; }
`;
const Request = protobuf.parse(schema).root.lookupType('Request');
const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];

type KeyValue = { key: string; value?: Record<string, string | number | boolean> };
type RawSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  attributes?: KeyValue[];
  links?: { traceId: string; spanId: string }[];
  status?: { code?: number };
};
type RawRequest = {
  resourceSpans?: { resource?: { attributes?: KeyValue[] }; scopeSpans?: { spans?: RawSpan[] }[] }[];
};

/** A received span. Ids are hex. */
export type ReceivedSpan = {
  readonly service: string;
  readonly name: string;
  readonly kind: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly failed: boolean;
};

export type OtlpReceiver = {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  [Symbol.asyncDispose](): Promise<void>;
};

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    if (request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf') {
      spans.push(...decode(body));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' });
    } else response.writeHead(404);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function decode(body: Buffer): ReceivedSpan[] {
  const options = { bytes: String, longs: Number, defaults: false };
  const { resourceSpans = [] } = Request.toObject(Request.decode(body), options) as RawRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) => {
    const service = String(plain(resource?.attributes)['service.name']);
    return scopeSpans.flatMap(({ spans = [] }) => spans.map((span) => received(service, span)));
  });
}

function received(service: string, span: RawSpan): ReceivedSpan {
  return {
    service,
    name: span.name,
    kind: kinds[span.kind] ?? String(span.kind),
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentSpanId: hex(span.parentSpanId ?? ''),
    links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId: hex(traceId), spanId: hex(spanId) })),
    attributes: plain(span.attributes),
    failed: span.status?.code === 2,
  };
}

function plain(list: readonly KeyValue[] = []): Record<string, string | number | boolean> {
  return Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value ?? {})[0] ?? '']));
}

const hex = (base64: string): string => Buffer.from(base64, 'base64').toString('hex');
