import { expect, test } from 'vitest';
import { createMetrics } from './metrics.ts';

test('every metric has the prefix and the label app', async () => {
  const metrics = createMetrics('web');
  metrics
    .counter({ name: 'calls_accepted_total', help: 'Calls kept.', labels: ['upstream'] })
    .inc({ upstream: 'crossmark' });
  metrics.gauge({ name: 'queue_waiting', help: 'Waiting.', collect: (gauge) => gauge.set(7) });
  metrics.histogram({ name: 'attempt_seconds', help: 'Attempts.', buckets: [0.1, 1] }).observe(0.5);
  const text = await metrics.text();
  expect(text).toContain('recloser_calls_accepted_total{upstream="crossmark",app="web"} 1');
  expect(text).toContain('recloser_queue_waiting{app="web"} 7');
  expect(text).toContain('recloser_attempt_seconds_bucket{le="1",app="web"} 1');
  expect(text).toContain('recloser_process_cpu_seconds_total');
  expect(
    text
      .split('\n')
      .filter((line) => line && !line.startsWith('#'))
      .every((line) => line.startsWith('recloser_')),
  ).toBe(true);
});

test('two registries of one process are independent', async () => {
  const [first, second] = [createMetrics('a'), createMetrics('b')];
  first.counter({ name: 'x_total', help: 'x' }).inc();
  expect(await second.text()).not.toContain('x_total');
});
