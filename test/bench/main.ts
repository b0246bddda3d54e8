/**
 * `npm run bench [-- --only intake,worker --rounds 5 --quick --json file]`: compares Recloser with the bare libraries.
 * Prints one table per experiment. `--json` also writes every round to a file.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { findRedis } from '@recloser/local-stack/redis/find-redis';
import { experiments } from './experiments/experiments.ts';
import { describeMachine } from './figures/machine.ts';
import { summarize } from './figures/statistics.ts';
import { table } from './figures/table.ts';

const projectDir = join(import.meta.dirname, '../..');
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const names = values.only?.split(',') ?? experiments.map(({ name }) => name);
const chosen = experiments.filter(({ name }) => names.includes(name));
const unknown = names.filter((name) => !experiments.some((one) => one.name === name));
if (unknown.length > 0) {
  console.error(
    `Unknown experiment: ${unknown.join(', ')}. Available: ${experiments.map(({ name }) => name).join(', ')}.`,
  );
  process.exit(1);
}
const { quick } = values;
const rounds = Number(values.rounds ?? (quick ? 1 : 5));

const source = await findRedis({
  env: { ...process.env, REDIS_URL: '' },
  cacheDir: join(projectDir, '.cache'),
});
// Experiments empty it, so it must not be in use elsewhere.
if (source.kind === 'url') throw new Error('The bench needs its own Redis');
const dataDir = join(projectDir, `.data/bench-${process.pid}`);
const redis = await startEmbeddedRedis({ dataDir, source, appendfsync: 'everysec' });
const interrupted = Promise.withResolvers<never>();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => interrupted.reject(new Error(`Interrupted by ${signal}`)));
try {
  const machine = await describeMachine(redis.url);
  console.log(JSON.stringify(machine));
  const found = [];
  for (const { name, title, run } of chosen) {
    const beganAt = performance.now();
    const say = (line: string) => console.log(`  ${name}: ${line}`);
    const running = run({ rounds, quick, redisUrl: redis.url, say });
    const figures = await Promise.race([running, interrupted.promise]);
    const seconds = Math.round((performance.now() - beganAt) / 1000);
    console.log(`\n## ${title}\n\n${table(figures)}\n\n(${seconds} s)\n`);
    found.push({
      name,
      title,
      seconds,
      figures: figures.map((one) => ({ ...one, summary: summarize(one) })),
    });
  }
  const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim();
  const report = { command, at: new Date().toISOString(), rounds, quick, machine, experiments: found };
  if (values.json) await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await redis.stop();
  await rm(dataDir, { recursive: true, force: true });
}
// An interrupted experiment may leave open handles.
process.exit();
