/** Posts per second and their latency: our web and Express with `Queue.add`, with 1, 50 and 200 concurrent posts. */
import { visitInput } from '@recloser/local-stack/stack/stack-api';
import { Redis } from 'ioredis';
import type { Figure } from '../figures/figure.ts';
import { latencies, type Post, quantile } from '../figures/latency.ts';
import { benchKey, ourEnv, startApp, startScript } from '../sides/app-process.ts';
import type { Experiment } from './experiment.ts';

type Seen = { readonly perSecond: number[]; readonly p50: number[]; readonly p99: number[] };

type Posts = Readonly<Record<number, number>>;
const fullPosts: Posts = { 1: 1_000, 50: 5_000, 200: 5_000 };
/** Few at once: on a busy machine web refuses calls that Redis does not store in time. */
const quickPosts: Posts = { 1: 50, 5: 200 };

export const intake: Experiment = {
  name: 'intake',
  title: 'Taking calls in',
  async run({ rounds, quick, redisUrl, say }) {
    const env = ourEnv({
      redisUrl,
      upstreamUrl: 'http://127.0.0.1:9',
      more: { CROSSMARK_MAX_BACKLOG: '10000000' },
    });
    const ours = await startApp('web', env);
    const bare = await startScript('bare-web.ts', { REDIS_URL: redisUrl, QUEUE: 'crossmark' });
    const redis = new Redis(redisUrl);
    const body = JSON.stringify({ input: visitInput(1), options: { allowDuplicate: true } });
    const sides: readonly { readonly name: 'ours' | 'bare'; readonly post: Post }[] = [
      {
        name: 'ours',
        post: {
          url: `${ours.url}/v1/calls/crossmark/schedule-event`,
          headers: { authorization: `Bearer ${benchKey}` },
          body,
        },
      },
      { name: 'bare', post: { url: `${bare.url}/calls/schedule-event`, headers: {}, body } },
    ];
    try {
      // Warm-up: the first posts of a process are slow.
      for (const { post } of sides)
        await latencies(post, quick ? { count: 50, atOnce: 1 } : { count: 4_000, atOnce: 50 });
      const figures: Figure[] = [];
      for (const [key, count] of Object.entries(quick ? quickPosts : fullPosts)) {
        const atOnce = Number(key);
        const seen = { ours: emptySeen(), bare: emptySeen() };
        for (let round = 0; round < rounds; round += 1) {
          say(`${atOnce} at a time, round ${round + 1} of ${rounds}`);
          for (const { name, post } of round % 2 === 0 ? sides : sides.toReversed()) {
            await redis.flushall();
            const beganAt = performance.now();
            const times = await latencies(post, { count, atOnce });
            seen[name].perSecond.push((count / (performance.now() - beganAt)) * 1000);
            seen[name].p50.push(quantile(times, 0.5));
            seen[name].p99.push(quantile(times, 0.99));
          }
        }
        figures.push(...figuresOf(atOnce, seen));
      }
      return figures;
    } finally {
      redis.disconnect();
      await Promise.all([ours.stop(), bare.stop()]);
    }
  },
};

function emptySeen(): Seen {
  return { perSecond: [], p50: [], p99: [] };
}

function figuresOf(atOnce: number, { ours, bare }: { ours: Seen; bare: Seen }): readonly Figure[] {
  const of = (key: keyof Seen) => ({ ours: ours[key], bare: bare[key] });
  return [
    {
      name: `posts, ${atOnce} at a time`,
      unit: 'calls/s',
      ...of('perSecond'),
      aim: { kind: 'ratio', atLeast: 1 },
    },
    { name: `p50 of the 202, ${atOnce} at a time`, unit: 'ms', ...of('p50') },
    { name: `p99 of the 202, ${atOnce} at a time`, unit: 'ms', ...of('p99') },
  ];
}
