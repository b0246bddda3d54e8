import { spawnSync } from 'node:child_process';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createLogger } from './logger.ts';
import { startTracing } from './start-tracing.ts';
import { noTracing } from './tracing.ts';
import { createTracing } from './tracing-otlp.ts';

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const parent = { traceparent, tracestate: 'app=1' };
const lines: string[] = [];
const log = createLogger({
  name: 'test',
  level: 'info',
  destination: { write: (line) => void lines.push(line) },
});

describe('without an endpoint', () => {
  test('headers are passed on unchanged', async () => {
    const tracing = await startTracing({ OTEL_TRACES_SAMPLER_ARG: 1 }, { service: 'test', log });
    expect(tracing).toBe(noTracing);
    const span = tracing.span({ name: 'a', kind: 'server', parent });
    expect([span.headers, span.ids]).toEqual([parent, {}]);
    expect(tracing.span({ name: 'a', kind: 'consumer', link: parent }).headers).toEqual(parent);
    expect(tracing.span({ name: 'a', kind: 'server' }).headers).toBeUndefined();
  });

  test('OpenTelemetry is not loaded', () => {
    const script = `
      import { registerHooks } from 'node:module';
      const loaded = [];
      registerHooks({ resolve: (name, context, next) => (loaded.push(name), next(name, context)) });
      const { startTracing } = await import(${JSON.stringify(new URL('./start-tracing.ts', import.meta.url).href)});
      await startTracing({ OTEL_TRACES_SAMPLER_ARG: 1 }, { service: 'test' });
      console.log(loaded.length > 0, loaded.filter((name) => name.includes('opentelemetry')).length);`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect([stdout, stderr]).toEqual(['true 0\n', '']);
  });
});

describe('with an unreachable endpoint', () => {
  const tracing = createTracing({ endpoint: 'http://127.0.0.1:9', ratio: 0, service: 'test', log });

  test('a span is a child of the given parent', () => {
    const span = tracing.span({ name: 'a', kind: 'server', parent });
    expect(span.ids.trace_id).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
    expect(span.headers).toEqual({
      traceparent: `00-4bf92f3577b34da6a3ce929d0e0e4736-${span.ids.span_id}-01`,
      tracestate: 'app=1',
    });
    expect(span.ids.span_id).not.toBe('00f067aa0ba902b7');
    span.end();
  });

  test.each(['', 'nonsense', `ff${traceparent.slice(2)}`, traceparent.replace(/4bf9.*36/, '0'.repeat(32))])(
    'an invalid context (%s) is ignored, and the sampling ratio applies',
    (broken) => {
      const { headers } = tracing.span({ name: 'a', kind: 'server', parent: { traceparent: broken } });
      expect(headers?.traceparent).toMatch(/^00-(?!4bf9|0{8})[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    },
  );

  test('stop ends within 3 s, also when called twice', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const stops = Promise.all([tracing.stop(), tracing.stop()]);
    vi.advanceTimersByTime(3_000);
    await expect(stops).resolves.toHaveLength(2);
  });
});
