/** The apps' real /metrics through an outage: judged by promtool, and held against the document, dashboard and rules. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { upstreamNames } from '@recloser/upstreams/definitions';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { promtool } from '../support/promtool.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const root = join(import.meta.dirname, '../..');
const apps = ['web', 'worker', 'admin'] as const;
type App = (typeof apps)[number];

let running: TestStack;
beforeAll(async () => {
  running = await startTestStack({ workers: 1, env: { CALLBACK_HOSTS: '127.0.0.1' } });
});
afterAll(async () => {
  await running?.[Symbol.asyncDispose]();
});

function addressOf(app: App): string {
  const { stack } = running;
  if (app !== 'worker') return stack.urls[app];
  const line = stack.workers[0]?.lines.find((one) => one.includes('worker health listens')) ?? '{}';
  return (JSON.parse(line) as { url: string }).url;
}

async function scrape(app: App): Promise<string> {
  const answer = await fetch(`${addressOf(app)}/metrics`);
  expect(answer.status).toBe(200);
  return answer.text();
}

/** The value of one series, as `name{label="value"}` names it; labels in any order. */
async function value(
  app: App,
  name: string,
  labels: Record<string, string> = {},
): Promise<number | undefined> {
  const wanted = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
  const line = (await scrape(app))
    .split('\n')
    .find((one) => /^\w+/.exec(one)?.[0] === name && wanted.every((label) => one.includes(label)));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

const breaker = { upstream: 'crossmark' };

describe('metrics', () => {
  test('an outage can be read from them, from first call to recovery', async () => {
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
    expect(await value('web', 'recloser_breaker_generation', breaker)).toBeGreaterThanOrEqual(3);
    await api.faults([]);
    await allEnded(api, ids);
    await until(async () =>
      expect(await value('web', 'recloser_breaker_state', { ...breaker, state: 'closed' })).toBe(1),
    );
    expect(await value('worker', 'recloser_trials_total', { ...breaker, outcome: 'done' })).toBeGreaterThan(
      0,
    );
    expect(await value('web', 'recloser_queue_oldest_waiting_seconds', breaker)).toBe(0);
    expect(await value('worker', 'recloser_calls_finished_total', { ...breaker, outcome: 'succeeded' })).toBe(
      32,
    );
    expect(await value('web', 'recloser_calls_accepted_total', { ...breaker, replayed: 'false' })).toBe(32);
  });

  test.each(apps)('promtool finds nothing wrong with those of %s', async (app) => {
    expect(await promtool(['check', 'metrics'], { input: await scrape(app) })).toEqual({
      code: 0,
      output: '',
    });
  });

  test.each(apps)('no label of %s is an id, an address or a person', async (app) => {
    const labels = [...(await scrape(app)).matchAll(/(\w+)="([^"]*)"/g)];
    expect(labels.length).toBeGreaterThan(5);
    const odd = labels.filter(([, , text = '']) => /@|https?:|[0-9a-f]{8}-|\d{5}/.test(text));
    expect(odd.map(([pair]) => pair)).toEqual([]);
  });

  test('every upstream has its series', async () => {
    const text = await scrape('web');
    for (const name of upstreamNames) expect(text).toContain(`recloser_breaker_state{upstream="${name}"`);
  });

  test.each(['ops/grafana/recloser.json', 'ops/prometheus/recloser.rules.yml', 'docs/observability.md'])(
    'every metric that %s names is there',
    async (path) => {
      const texts = await Promise.all(apps.map(scrape));
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

  test('without Redis a scrape still answers, and shows no old numbers', async () => {
    const { stack } = running;
    await stack.redis?.kill();
    await until(async () => expect(await value('web', 'recloser_redis_up')).toBe(0));
    expect(await scrape('web')).not.toContain('recloser_breaker_state{');
    await stack.redis?.restart();
    await until(async () => expect(await value('web', 'recloser_redis_up')).toBe(1));
  });
});
