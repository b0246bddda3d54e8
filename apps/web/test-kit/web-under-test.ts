/** A web app for tests with a real Redis, its own key prefix and a real port. `await using` closes everything. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Holds } from '@recloser/breaker/holds';
import { readUpstreamState } from '@recloser/breaker/upstream-state';
import { upstreamRoot } from '@recloser/calls/call/keys';
import type { CallView } from '@recloser/calls/read/view';
import { LastGoodFinder } from '@recloser/calls/write/last-good';
import { type SucceededRetention, succeededRetention } from '@recloser/calls/write/retention';
import { withDuplicateWindow } from '@recloser/calls/write/same-wish';
import { createLogger } from '@recloser/runtime/observe/logger';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { listen } from '@recloser/runtime/process/http-server';
import { connectRedis } from '@recloser/runtime/redis/connection';
import { memoryLimitShare, watchRedisSafety } from '@recloser/runtime/redis/safety';
import { writeOncePerTurn } from '@recloser/runtime/redis/write-once-per-turn';
import { createSealer } from '@recloser/runtime/secrets/seal';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { definitions } from '@recloser/upstreams/definitions';
import { type Processor, Worker } from 'bullmq';
import { createApp } from '../src/app.ts';
import { createLookAtCall } from '../src/calls/look-at-call.ts';
import { createCallWaiter } from '../src/calls/wait-for-call.ts';
import type { ApiKey } from '../src/http/api-keys.ts';
import { createKeyRing, type KeyRing } from '../src/http/key-ring.ts';
import { createRateLimit } from '../src/http/rate-limit.ts';
import type { CallWaiter, WebDeps, WebUpstream } from '../src/http/web-deps.ts';
import { createWebMetrics } from '../src/http/web-metrics.ts';
import { createBacklogGauge } from '../src/intake/backlog.ts';
import { answerTimes } from '../src/intake/intake.ts';
import { createNoteWanted } from '../src/intake/wanted-results.ts';
import { openQueue } from '../src/upstreams/open-queue.ts';
import { createThroughputGauge } from '../src/upstreams/throughput-gauge.ts';

type Options = {
  redisUrl: string;
  apiKeys?: readonly ApiKey[];
  production?: boolean;
  maxBacklog?: number;
  prefix?: string;
  keys?: KeyRing;
  perMinute?: number;
  retention?: SucceededRetention;
  staleTtlSeconds?: number;
  /** Defaults to 0, so that a test can post the same input twice. */
  duplicateWindowSeconds?: number;
  /** Use the time limits of production, for tests in which Redis does not answer. By default, limits are long. */
  productionTimes?: boolean;
};

/** Longer than the timeout of a test. */
const slowMs = 120_000;

/** A valid input of `crossmark/schedule-event`. */
export const visit = {
  repId: '152345',
  mPlanId: '31880821',
  locationId: '512345',
  start: '2026-01-05T09:00:00-05:00',
  end: '2026-01-05T15:30:00-05:00',
};

/** The members of a problem that tests check. */
export type ProblemBody = {
  status: number;
  code: string;
  type: string;
  errors: { pointer: string }[];
  error: string;
  id: string;
};

/** The call in a response. */
export async function callOf(response: Response | Promise<Response>): Promise<CallView> {
  return (await (await response).json()) as CallView;
}

/** The problem in a response. */
export async function problemOf(response: Response | Promise<Response>): Promise<ProblemBody> {
  return (await (await response).json()) as ProblemBody;
}

/** Opens all dependencies of the app. */
async function openDeps(options: Options) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ name: 'web', level: 'debug', destination });
  const prefix = options.prefix ?? `test-${randomUUID()}`;
  const redis = connectRedis(options.redisUrl, { role: 'fast', name: 'web', log });
  if (!options.productionTimes)
    Object.assign(redis.options, { commandTimeout: slowMs, socketTimeout: slowMs });
  writeOncePerTurn(redis);
  const events = connectRedis(options.redisUrl, { role: 'worker', name: 'web-events', log });
  if (redis.status !== 'ready') await once(redis, 'ready');
  const watch = watchRedisSafety({ redis, log, intervalMs: 200 });
  const now = async () => Number((await redis.time())[0]) * 1000;
  const upstreams = Object.values(definitions).map(({ name, operations: defined }): WebUpstream => {
    const operations = withDuplicateWindow<OperationDefinition>(defined, options.duplicateWindowSeconds ?? 0);
    const queue = openQueue({ redis, prefix, upstream: name });
    const maxBacklog = options.maxBacklog ?? 50_000;
    const root = upstreamRoot(prefix, name);
    const lastGood = new LastGoodFinder({ redis, root, queue });
    return { name, operations, maxBacklog, root, queue, lastGood };
  });
  const waiting = { count: 0 };
  const waiter = counted(createCallWaiter({ redis: events, now, log }), waiting);
  const readers = {
    redis,
    throughput: createThroughputGauge(redis),
    readUpstreamState: ({ root }: WebUpstream) => readUpstreamState({ redis, root }),
  };
  const deps: WebDeps = {
    ...readers,
    lookAtCall: createLookAtCall(readers),
    production: options.production ?? false,
    prefix,
    upstreams: new Map(upstreams.map((upstream) => [upstream.name, upstream])),
    keys: options.keys ?? createKeyRing({ keys: options.apiKeys ?? [], log }),
    rateLimit: createRateLimit({ redis, prefix, perMinute: options.perMinute ?? 0 }),
    retention: options.retention ?? succeededRetention,
    staleTtlSeconds: options.staleTtlSeconds ?? 3600,
    answerTimes: options.productionTimes ? answerTimes : { storeMs: slowMs, readBackMs: slowMs },
    noteWanted: createNoteWanted(redis),
    sealer: createSealer(Buffer.alloc(32, 7)),
    waiter,
    backlog: createBacklogGauge(redis),
    memoryLimitShare,
    safety: watch.current,
    checkSafety: watch.check,
    metrics: createWebMetrics(createMetrics('web')),
    log,
  };
  return { deps, events, watch, lines, waiting };
}

/** A waiter that counts the open waits: those whose first `look` found the call unfinished. */
function counted(waiter: CallWaiter, waiting: { count: number }): CallWaiter {
  return {
    ...waiter,
    async wait({ look, ...options }) {
      let looks = 0;
      try {
        return await waiter.wait({
          ...options,
          async look() {
            const seen = await look();
            looks += 1;
            if (looks === 1) waiting.count += 1;
            return seen;
          },
        });
      } finally {
        if (looks > 0) waiting.count -= 1;
      }
    },
  };
}

/** Starts the app on a free port. */
export async function startWeb(options: Options) {
  const { deps, events, watch, lines, waiting } = await openDeps(options);
  const { redis, waiter, upstreams } = deps;
  const server = await listen(createApp(deps), { host: '127.0.0.1', port: 0 });
  const workers: Worker[] = [];

  function upstream(name = 'crossmark'): WebUpstream {
    const found = upstreams.get(name);
    if (!found) throw new Error(`no upstream ${name}`);
    return found;
  }

  return {
    ...deps,
    url: server.url,
    lines,
    watch,
    upstream,
    /** Number of requests that wait for their call to finish. */
    waiting: () => waiting.count,
    holds: (name = 'crossmark') =>
      new Holds({ redis, root: upstream(name).root, queue: upstream(name).queue }),
    /** Runs a BullMQ worker in place of the worker app. It retries a failed attempt after a minute. */
    work(processor: Processor, name = 'crossmark'): void {
      const settings = { backoffStrategy: () => 60_000 };
      const worker = new Worker(name, processor, {
        connection: events,
        prefix: upstream(name).root,
        settings,
      });
      worker.on('error', () => undefined);
      workers.push(worker);
    },
    get: (path: string, headers: Record<string, string> = {}) => fetch(server.url + path, { headers }),
    post: (path: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(server.url + path, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    delete: (path: string, headers: Record<string, string> = {}) =>
      fetch(server.url + path, { method: 'DELETE', headers }),
    async [Symbol.asyncDispose]() {
      await server.close(0);
      await waiter.stop();
      await Promise.all(workers.map((worker) => worker.close(true)));
      watch.stop();
      await Promise.allSettled([...upstreams.values()].map(({ queue }) => queue.close()));
      redis.disconnect();
      events.disconnect();
    },
  };
}
