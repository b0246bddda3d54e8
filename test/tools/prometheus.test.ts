/**
 * The dashboard's queries in a real Prometheus, through an outage. With UPDATE_SCREENSHOTS=1 it saves a screenshot of
 * Prometheus' graph page in docs/images.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { launchChromium } from '../support/programs/chromium.ts';
import { startPrometheus } from '../support/programs/prometheus.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const root = join(import.meta.dirname, '../..');

type Panel = { readonly title: string; readonly targets: readonly { readonly expr: string }[] };
const { panels } = JSON.parse(readFileSync(join(root, 'ops/grafana/recloser.json'), 'utf8')) as {
  panels: Panel[];
};

/** Replaces the variables like Grafana. */
const filled = (expr: string) => expr.replaceAll('$upstream', '.*').replaceAll('$__rate_interval', '10s');

/** Queries that may be empty: this test has no callbacks and no maxmemory. */
const mayBeEmpty = /callback|http_problems|memory_used_ratio|call_stalls/;

function workerUrl({ stack }: TestStack): string {
  const line = stack.workers[0]?.lines.find((one) => one.includes('worker health listens')) ?? '{}';
  return (JSON.parse(line) as { url: string }).url;
}

async function picture(address: string): Promise<void> {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    await page.goto(address);
    await page.locator('canvas, svg').nth(1).waitFor({ timeout: 20_000 });
    await page.waitForLoadState('networkidle');
    await page.screenshot({
      path: join(root, 'docs/images/prometheus-outage.png'),
      animations: 'disabled',
      fullPage: true,
    });
  } finally {
    await browser.close();
  }
}

test('every panel shows the outage, and Prometheus accepts every query', async () => {
  const startedMs = Date.now();
  const sinceStart = () => Math.ceil((Date.now() - startedMs) / 1000);
  await using running = await startTestStack({ workers: 1 });
  const { api, stack } = running;
  await using prometheus = await startPrometheus([stack.urls.web, stack.urls.admin, workerUrl(running)]);
  await allEnded(api, await postVisits(api, 20));
  await until(async () => expect(await prometheus.range('recloser_redis_up', sinceStart())).not.toEqual([]));
  await api.faults([{ kind: 'status', status: 503 }]);
  const ids = await postVisits(api, 60, 100);
  const open = 'max by (upstream) (recloser_breaker_state{state="open",upstream="crossmark"})';
  await until(async () => {
    const [series] = await prometheus.range(open, sinceStart());
    // Long enough to be visible, and for a failed probe.
    expect(series?.values.filter((value) => value === 1).length).toBeGreaterThanOrEqual(6);
  });
  await api.faults([]);
  await allEnded(api, ids);
  await until(async () => expect((await prometheus.range(open, sinceStart()))[0]?.values.at(-1)).toBe(0));
  const exprs = panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => [title, filled(expr)] as const),
  );
  expect(exprs.length).toBeGreaterThan(20);
  const empty: string[] = [];
  for (const [title, expr] of exprs) {
    const series = await prometheus.range(expr, sinceStart());
    if (series.length === 0 && !mayBeEmpty.test(expr)) empty.push(`${title}: ${expr}`);
  }
  expect(empty).toEqual([]);
  if (process.env.UPDATE_SCREENSHOTS) {
    const shown = [
      'max by (state) (recloser_breaker_state{upstream="crossmark"})',
      'max by (state) (recloser_queue_calls{upstream="crossmark"})',
    ];
    const graphs = shown.map((expr, n) => [`g${n}.expr`, expr, `g${n}.tab`, '0', `g${n}.range_input`, '30s']);
    const query = graphs.map((parts) => {
      const pairs = [0, 2, 4].map((at) => [parts[at], parts[at + 1]] as [string, string]);
      return new URLSearchParams(pairs).toString();
    });
    await picture(`${prometheus.url}/graph?${query.join('&')}`);
  }
});
