/**
 * Injects a seeded fault every few seconds: at an upstream, in our processes, in Redis, or by an operator. Each fault
 * ends before the next begins. The first worker is never killed, so that its memory can be followed for the whole soak.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from '@recloser/local-stack/stack/stack';
import type { StackApi } from '@recloser/local-stack/stack/stack-api';
import type { Queue } from 'bullmq';
import type { AdminApi } from '../support/admin-api.ts';
import { pick, pickWeighted, type Random } from '../support/random.ts';
import { nextWeather } from '../support/weather.ts';

/** Percentages. */
const kinds = {
  weather: 52,
  'worker killed': 9,
  'worker frozen': 6,
  'worker frozen past its lock': 1,
  'Redis killed and restarted': 6,
  'Redis frozen': 5,
  'session expired': 5,
  'queue paused raw': 4,
  'queue resumed raw': 3,
  'held and released': 3,
  'opened by hand': 3,
  'tried by hand': 3,
} as const;
type Kind = keyof typeof kinds;

type Parts = {
  readonly stack: Stack;
  readonly api: StackApi;
  readonly admin: AdminApi;
  readonly queues: Readonly<Record<string, Queue>>;
  readonly random: Random;
  /** Called at the start of each fault. */
  readonly say: (what: string) => void;
};

export class Faults {
  readonly counts: Record<string, number> = {};
  readonly wrong: string[] = [];
  /** When Redis was unavailable, in ms since the epoch. */
  readonly redisAway: [number, number][] = [];
  readonly #parts: Parts;
  readonly #stopped = new AbortController();
  readonly #going: Promise<void>;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#going = this.#go();
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Stops injecting. Resolves when the last fault is over. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#going;
  }

  async #go(): Promise<void> {
    const { random } = this.#parts;
    while (!this.#stopped.signal.aborted) {
      const kind = pickWeighted(random, kinds);
      const upstream = random() < 0.7 ? 'crossmark' : 'walmart-edr';
      this.counts[kind] = (this.counts[kind] ?? 0) + 1;
      await this.#happen(kind, upstream).catch((error: Error) =>
        this.wrong.push(`${kind}: ${error.message}`),
      );
      await pause(1_000 + random() * 3_000, undefined, this.#stopped).catch(() => {});
    }
  }

  #happen(kind: Kind, upstream: string): Promise<void> {
    const { random, queues, say } = this.#parts;
    say(kind === 'weather' ? `weather at ${upstream}` : kind);
    switch (kind) {
      case 'weather':
        return this.#weather(upstream);
      case 'worker killed':
        return this.#replaceWorker();
      case 'worker frozen':
        return this.#freeze(1_500);
      case 'worker frozen past its lock':
        return this.#freeze(12_000);
      case 'Redis killed and restarted':
      case 'Redis frozen':
        return this.#redis(kind === 'Redis frozen');
      case 'session expired':
        return this.#parts.api.expire(pick(random, ['401', '403', '302', 'html']), upstream);
      case 'queue paused raw':
        return queues[upstream]?.pause() ?? Promise.resolve();
      case 'queue resumed raw':
        return queues[upstream]?.resume() ?? Promise.resolve();
      case 'held and released':
        return this.#act(upstream, 'hold').then(() => this.#act(upstream, 'release'));
      case 'opened by hand':
        return this.#act(upstream, 'open', new Date(Date.now() + 2_000).toISOString());
      case 'tried by hand':
        return this.#act(upstream, 'probe');
      default:
        return kind satisfies never;
    }
  }

  async #weather(name: string): Promise<void> {
    const { api, random } = this.#parts;
    await api.faults(nextWeather(random), { name, seed: Math.floor(random() * 1_000) });
    await pause(1_000 + random() * 3_000);
    await api.faults([], { name });
  }

  async #replaceWorker(): Promise<void> {
    const { stack, random } = this.#parts;
    const worker = pick(random, stack.workers.slice(1));
    await stack.kill(worker);
    await stack.addWorker();
  }

  async #freeze(ms: number): Promise<void> {
    const { stack, random } = this.#parts;
    const worker = pick(random, stack.workers);
    worker.signal('SIGSTOP');
    await pause(ms);
    worker.signal('SIGCONT');
  }

  async #redis(frozen: boolean): Promise<void> {
    const redis = this.#parts.stack.redis;
    if (!redis) throw new Error('The soak needs a Redis that it may kill. Unset REDIS_URL.');
    const from = Date.now();
    if (frozen) redis.freeze();
    else await redis.kill();
    await pause(frozen ? 1_000 : 400);
    if (frozen) redis.thaw();
    else await redis.restart();
    this.redisAway.push([from, Date.now()]);
  }

  async #act(upstream: string, action: string, until?: string): Promise<void> {
    const body = { action, reason: 'the soak', ...(until && { until }) };
    const answer = await this.#parts.admin.post(`/api/upstreams/${upstream}/actions`, body);
    // 429: a manual probe ran a moment ago. 503: Redis is still starting.
    if (![200, 429, 503].includes(answer.status))
      throw new Error(`${action} answered ${answer.status} ${JSON.stringify(answer.body)}`);
    if (action === 'hold') await pause(2_000);
  }
}
