/**
 * A real Prometheus with our rules that scrapes the apps of a test every second. Without Prometheus a test fails with
 * an instruction and is never skipped.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@recloser/local-stack/process/free-port';
import { until } from '../stack.ts';

export type Series = {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly number[];
};

export type Prometheus = {
  readonly url: string;
  /** Evaluates an expression for each of the last `seconds`. Throws if Prometheus refuses it. */
  range(query: string, seconds: number): Promise<readonly Series[]>;
  [Symbol.asyncDispose](): Promise<void>;
};

const rules = join(import.meta.dirname, '../../../ops/prometheus/recloser.rules.yml');

/** @param targets addresses of apps */
export async function startPrometheus(targets: readonly string[]): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'recloser-prometheus-'));
  const url = `http://127.0.0.1:${await freePort()}`;
  const hosts = targets.map((target) => new URL(target).host);
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    scrape_configs: [{ job_name: 'recloser', static_configs: [{ targets: hosts }] }],
    rule_files: [rules],
  };
  // JSON is valid YAML.
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
  const args = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
  const child = spawn('prometheus', [...args, `--web.listen-address=${new URL(url).host}`], {
    stdio: 'ignore',
  });
  const missing = once(child, 'error').then(() => {
    throw new Error('This test needs prometheus. Install it (Debian, Ubuntu: apt-get install prometheus).');
  });
  const exited = once(child, 'exit').catch(() => undefined);
  await Promise.race([until(async () => void (await ask(`${url}/-/ready`)), 30_000), missing]);
  return {
    url,
    async range(query, seconds) {
      const end = Date.now() / 1000;
      const parameters = { query, start: String(end - seconds), end: String(end), step: '1' };
      const answer = await ask(`${url}/api/v1/query_range?${new URLSearchParams(parameters)}`);
      const { data } = (await answer.json()) as { data: { result: RawSeries[] } };
      return data.result.map(({ metric, values }) => ({
        metric,
        values: values.map(([, value]) => Number(value)),
      }));
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

type RawSeries = { metric: Record<string, string>; values: [number, string][] };

async function ask(address: string): Promise<Response> {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer;
}
