/** The apps' /metrics through an outage, compared with the documentation, the dashboard and the alert rules. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { upstreamNames } from '@recloser/upstreams/definitions';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type MeasuredApp, measuredApps, scrape } from '../support/programs/metrics.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const root = join(import.meta.dirname, '../..');

let running: TestStack;
beforeAll(async () => {
  running = await startTestStack({ workers: 1, env: { CALLBACK_HOSTS: '127.0.0.1' } });
});
afterAll(async () => {
  await running?.[Symbol.asyncDispose]();
});

/** Returns the value of one series such as `name{label="value"}`. Labels may be in any order. */
async function value(
  app: MeasuredApp,
  name: string,
  labels: Record<string, string> = {},
): Promise<number | undefined> {
  const wanted = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
  const line = (await scrape(running, app))
    .split('\n')
    .find((one) => /^\w+/.exec(one)?.[0] === name && wanted.every((label) => one.includes(label)));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

const breaker = { upstream: 'crossmark' };

describe('metrics', () => {
  test('show an outage from the first call to the recovery', async () => {
    const { api } = running;
    await allEnded(api, await postVisits(api, 2));
    expect(await value('web', 'recloser_breaker_state', { ...breaker, state: 'closed' })).toBe(1);
    await api.faults([{ kind: 'status', status: 503 }]);
    const ids = await postVisits(api, 30, 10);
    await until(async () =>
      expect(await value('web', 'recloser_hold_active', { ...breaker, kind: 'breaker' })).toBe(1),
    );
    await until(async () =>
      expect(
        await value('worker', 'recloser_trials_total', { ...breaker, outcome: 'probe-fail' }),
      ).toBeGreaterThan(0),
    );
    const kept = await Promise.all(
      ['waiting', 'delayed', 'active'].map((state) =>
        value('web', 'recloser_queue_calls', { ...breaker, state }),
      ),
    );
    expect(kept.reduce((sum: number, count) => sum + (count ?? 0), 0)).toBeGreaterThan(20);
    await until(async () =>
      expect(await value('web', 'recloser_breaker_generation', breaker)).toBeGreaterThanOrEqual(3),
    );
    await api.faults([]);
    await allEnded(api, ids);
    await until(async () =>
      expect(await value('web', 'recloser_breaker_state', { ...breaker, state: 'closed' })).toBe(1),
    );
    // A worker counts a call just after its end is visible.
    await until(async () => {
      expect(await value('worker', 'recloser_trials_total', { ...breaker, outcome: 'done' })).toBeGreaterThan(
        0,
      );
      const ends = { ...breaker, outcome: 'succeeded' };
      expect(await value('worker', 'recloser_calls_finished_total', ends)).toBe(32);
    });
    expect(await value('web', 'recloser_queue_oldest_waiting_seconds', breaker)).toBe(0);
    expect(await value('web', 'recloser_calls_accepted_total', { ...breaker, replayed: 'false' })).toBe(32);
  });

  test.each(measuredApps)('no label of %s is an id, an address or a person', async (app) => {
    const labels = [...(await scrape(running, app)).matchAll(/(\w+)="([^"]*)"/g)];
    expect(labels.length).toBeGreaterThan(5);
    const odd = labels.filter(([, , text = '']) => /@|https?:|[0-9a-f]{8}-|\d{5}/.test(text));
    expect(odd.map(([pair]) => pair)).toEqual([]);
  });

  test('have series for every upstream', async () => {
    const text = await scrape(running, 'web');
    for (const name of upstreamNames) expect(text).toContain(`recloser_breaker_state{upstream="${name}"`);
  });

  test.each(['ops/grafana/recloser.json', 'ops/prometheus/recloser.rules.yml', 'docs/observability.md'])(
    'every metric that %s names is there',
    async (path) => {
      const texts = await Promise.all(measuredApps.map((app) => scrape(running, app)));
      const types = texts.flatMap((text) => [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)]);
      const there = new Set(
        types.flatMap(([, name = '', type]) =>
          type === 'histogram' ? [name, `${name}_bucket`, `${name}_count`, `${name}_sum`] : [name],
        ),
      );
      const named = new Set(readFileSync(join(root, path), 'utf8').match(/\brecloser_[a-z0-9_]+/g));
      expect(named.size).toBeGreaterThan(10);
      expect([...named].filter((name) => !there.has(name))).toEqual([]);
    },
  );

  test('are answered without Redis, without outdated values', async () => {
    const { stack } = running;
    await stack.redis?.kill();
    await until(async () => expect(await value('web', 'recloser_redis_up')).toBe(0));
    expect(await scrape(running, 'web')).not.toContain('recloser_breaker_state{');
    await stack.redis?.restart();
    await until(async () => expect(await value('web', 'recloser_redis_up')).toBe(1));
  });
});
