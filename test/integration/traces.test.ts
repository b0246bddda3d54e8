/** The trace of one call from the request through Redis to the upstream, as an OTLP receiver gets it. */
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type OtlpReceiver,
  type ReceivedSpan,
  startOtlpReceiver,
} from '../support/programs/otlp-receiver.ts';
import { type RecordingProxy, startRecordingProxy } from '../support/programs/recording-proxy.ts';
import { allEnded, startTestStack, type TestStack, until } from '../support/stack.ts';

let receiver: OtlpReceiver;
let upstream: RecordingProxy;
let running: TestStack;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
  upstream = await startRecordingProxy();
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `${receiver.url}/`,
    CROSSMARK_BASE_URL: `${upstream.url}/crossmark`,
  };
  running = await startTestStack({ workers: 1, env });
  upstream.target = running.stack.urls.simulator;
});
afterAll(async () => {
  await running?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await receiver?.[Symbol.asyncDispose]();
});

const traceId = (n: number) => String(n).padStart(32, 'a');
const traceparent = (n: number) => `00-${traceId(n)}-00f067aa0ba902b7-01`;

const reps = { mPlanId: '30000001', locationId: '150001' };

/** Posts a call as part of the application's trace. */
async function post(n: number, operation: string, input: object): Promise<string> {
  const headers = { traceparent: traceparent(n), tracestate: 'app=1' };
  const { status, body } = await running.api.post(`crossmark/${operation}`, { input }, headers);
  expect(status, JSON.stringify(body)).toBe(202);
  return String(body.id);
}

/** Returns the request's span and all spans of the call, once the last of them has arrived. */
async function spansOf(
  id: string,
): Promise<{ request: ReceivedSpan; send: ReceivedSpan; turns: ReceivedSpan[] }> {
  return until(() => {
    const own = receiver.spans.filter(({ attributes }) => attributes['messaging.message.id'] === id);
    const send = own.find(({ kind }) => kind === 'producer');
    const request = receiver.spans.find(({ spanId }) => spanId === send?.parentSpanId);
    const turns = own.filter(({ kind }) => kind === 'consumer');
    if (!send || !request) throw new Error('web has not told of it yet');
    if (turns.at(-1)?.attributes['recloser.judgement'] !== 'succeeded') throw new Error('not ended yet');
    return { request, send, turns };
  });
}

const exchangesOf = (turn: ReceivedSpan) =>
  receiver.spans.filter(({ kind, parentSpanId }) => kind === 'client' && parentSpanId === turn.spanId);

const told = () => upstream.seen.map(({ headers }) => headers.traceparent);

test('request, storing, turn and exchange form one tree, and the upstream gets the trace context of the exchange', async () => {
  const id = await post(1, 'schedule-event', visitInput(1));
  const { request, send, turns } = await spansOf(id);
  const [turn] = turns as [ReceivedSpan];
  expect(request).toMatchObject({
    ...{ service: 'recloser-web', kind: 'server', traceId: traceId(1), parentSpanId: '00f067aa0ba902b7' },
    name: 'POST /v1/calls/:upstream/:operation',
    attributes: { 'http.request.method': 'POST', 'http.response.status_code': 202 },
  });
  expect(send).toMatchObject({ service: 'recloser-web', traceId: traceId(1), failed: false });
  expect(turns).toHaveLength(1);
  expect(turn).toMatchObject({
    service: 'recloser-worker',
    traceId: traceId(1),
    parentSpanId: send.spanId,
    links: [],
  });
  const [exchange] = exchangesOf(turn);
  expect(exchange).toMatchObject({
    ...{ name: 'schedule-event', traceId: traceId(1), failed: false },
    attributes: {
      'recloser.outcome': 'done',
      'recloser.upstream': 'crossmark',
      'http.response.status_code': 200,
    },
  });
  expect(told()).toContain(`00-${traceId(1)}-${exchange?.spanId}-01`);
  await until(() => {
    const line = running.stack.output().find((one) => one.includes(String(exchange?.spanId))) ?? '{}';
    const about = { callId: id, upstream: 'crossmark', trace_id: traceId(1), generation: 0 };
    expect(JSON.parse(line)).toMatchObject(about);
  });
});

test('a retry is another turn in the same trace, after a failed exchange', async () => {
  await running.api.faults([{ kind: 'status', status: 500, times: 1 }]);
  const { turns, send } = await spansOf(await post(2, 'list-qualified-reps', reps));
  await running.api.faults([]);
  const exchanges = turns.flatMap(exchangesOf);
  expect(exchanges.some(({ failed }) => failed)).toBe(true);
  expect(exchanges.at(-1)).toMatchObject({ failed: false });
  expect(turns.length).toBeGreaterThan(1);
  expect(turns[0]).toMatchObject({ traceId: traceId(2), parentSpanId: send.spanId });
});

test('a turn after a deferral is a new trace, linked to the request', async () => {
  // Deferred: returned to the queue without an attempt.
  const later = { kind: 'status', status: 429, retryAfterSeconds: 1, operation: 'list-qualified-reps' };
  await running.api.faults([{ ...later, times: 2 }]);
  const ids = await Promise.all([10, 11, 12].map((n) => post(n, 'list-qualified-reps', reps)));
  await allEnded(running.api, ids);
  const deferred = await until(() => {
    const found = receiver.spans.filter(
      ({ kind, attributes }) =>
        kind === 'consumer' &&
        ids.includes(String(attributes['messaging.message.id'])) &&
        Number(attributes['recloser.deferrals']) > 0,
    );
    expect(found.length).toBeGreaterThan(0);
    return found;
  });
  for (const turn of deferred) {
    const { send } = await spansOf(String(turn.attributes['messaging.message.id']));
    expect(turn).toMatchObject({
      parentSpanId: '',
      links: [{ traceId: send.traceId, spanId: send.spanId }],
    });
    expect(turn.traceId).not.toBe(send.traceId);
  }
});

test('spans contain no input, URLs or personal data, and none is lost when the processes stop', async () => {
  const id = await post(3, 'schedule-event', visitInput(3));
  await allEnded(running.api, [id]);
  await running.stack.kill(running.stack.web, 'SIGTERM');
  for (const worker of running.stack.workers) await running.stack.kill(worker, 'SIGTERM');
  const { turns } = await spansOf(id);
  expect(turns.flatMap(exchangesOf)).toHaveLength(1);
  const { repId = '', mPlanId = '', start = '' } = visitInput(3);
  const text = JSON.stringify(receiver.spans.map(({ name, attributes }) => [name, attributes]));
  for (const secret of [repId, mPlanId, start, 'http:', '@', '?']) expect(text).not.toContain(secret);
});
