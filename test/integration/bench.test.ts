/** Runs the bench's cheapest experiment, so that the bench keeps working. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedRedis } from '@recloser/local-stack/redis/embedded-redis';
import { findRedis } from '@recloser/local-stack/redis/find-redis';
import { expect, it, onTestFinished } from 'vitest';
import { intake } from '../bench/experiments/intake.ts';
import { summarize } from '../bench/figures/statistics.ts';

it('measures intake on both sides', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'recloser-bench-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  const source = await findRedis({
    env: { ...process.env, REDIS_URL: '' },
    cacheDir: join(import.meta.dirname, '../../.cache'),
  });
  if (source.kind === 'url') throw new Error('a Redis of our own is needed');
  const redis = await startEmbeddedRedis({ dataDir, source, appendfsync: 'everysec' });
  try {
    const lines: string[] = [];
    const context = {
      rounds: 1,
      quick: true,
      redisUrl: redis.url,
      say: (line: string) => void lines.push(line),
    };
    const figures = await intake.run(context);
    expect(lines.length).toBeGreaterThan(0);
    expect(figures.map(({ unit }) => unit)).toContain('calls/s');
    for (const figure of figures) {
      const { ours, bare } = summarize(figure);
      expect(ours, figure.name).toBeGreaterThan(0);
      expect(bare, figure.name).toBeGreaterThan(0);
    }
  } finally {
    await redis.stop();
  }
});
