/** Alert rules, their tests and their runbook pages. promtool checks the rules. */
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { promtool } from '../support/programs/promtool.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const rules = read('ops/prometheus/recloser.rules.yml');
const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = '']) => name);
const pages = [...rules.matchAll(/runbook_url: (\S+)/g)].map(([, path = '']) => path);

describe('alerts', () => {
  test('are found', () => {
    expect(alerts.length).toBeGreaterThan(10);
  });

  test('have rules that promtool accepts', async () => {
    const { code, output } = await promtool(['check', 'rules', 'ops/prometheus/recloser.rules.yml'], {
      cwd: root,
    });
    expect([code, output]).toEqual([0, expect.stringContaining(`${alerts.length} rules found`)]);
  });

  test('fire and stay silent as their tests require', async () => {
    const path = 'ops/prometheus/recloser.rules.test.yml';
    expect(await promtool(['test', 'rules', path], { cwd: root })).toMatchObject({ code: 0 });
    const cases = read(path).split('- interval:').slice(1);
    for (const name of alerts) {
      const own = cases.filter((one) => one.includes(`alertname: ${name}\n`));
      const quiet = own.filter((one) => one.includes('exp_alerts: []'));
      expect([name, own.length > quiet.length, quiet.length > 0]).toEqual([name, true, true]);
    }
  });

  test('each have a runbook page with their name, and every page has its alert', () => {
    expect(pages.length).toBe(alerts.length);
    expect(pages.map((page) => /^# (\w+)$/m.exec(read(page))?.[1])).toEqual(alerts);
    const there = globSync('docs/runbooks/*.md', { cwd: root }).map((page) => basename(page));
    expect(there.toSorted()).toEqual(pages.map((page) => basename(page)).toSorted());
  });
});
