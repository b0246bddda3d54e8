/**
 * The soak: the whole system under steady mixed traffic with a fault every few seconds. Then all faults stop, the queues
 * drain, and the invariants are checked against the API, the simulator's ledger and Redis.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { RecloserClient } from '@recloser/client/recloser-client';
import { type Stack, startStack } from '@recloser/local-stack/stack/stack';
import { StackApi } from '@recloser/local-stack/stack/stack-api';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { AdminApi } from '../support/admin-api.ts';
import { randomOf } from '../support/random.ts';
import { CallBook } from './call-book.ts';
import { Faults } from './faults.ts';
import { LogWatch } from './log-watch.ts';
import { Memory } from './memory.ts';
import { Person } from './person.ts';
import { startReceiver } from './receiver.ts';
import { makeLedger, type SoakLedger } from './soak-ledger.ts';
import { Traffic } from './traffic.ts';
import { WatchedFetch } from './watched-fetch.ts';

export type SoakOptions = {
  readonly seconds: number;
  /** Continues until this many calls were accepted and this many faults happened, even on a slow machine. */
  readonly least?: { readonly calls: number; readonly faults: number };
  readonly seed: number;
  /** Calls posted per second. */
  readonly perSecond: number;
  /** Ends the soak early. It still drains and reports. */
  readonly signal?: AbortSignal;
  /** Called every second with the current state. */
  readonly live?: (line: string) => void;
};

const upstreams = ['crossmark', 'walmart-edr'] as const;
const password = 'correct horse battery';
const drainMs = 180_000;
/** Every call has an idempotency key, which Redis keeps for 24 hours. Measured with 10,000 keys, including hash tables. */
const idempotencyKeyBytes = 370;

/** Short times, so that many outages fit in. Short retention, so that Redis' memory soon levels off. */
const settings = {
  NODE_ENV: 'development',
  LOG_LEVEL: 'info',
  REDIS_URL: '',
  ADMIN_PASSWORD: password,
  CROSSMARK_BREAKER_RESET_MS: '1500',
  CROSSMARK_BACKOFF_BASE_MS: '200',
  CROSSMARK_TIMEOUT_MS: '4000',
  CROSSMARK_MAX_ATTEMPTS: '30',
  WALMART_EDR_BREAKER_RESET_MS: '1500',
  WALMART_EDR_BACKOFF_BASE_MS: '200',
  WALMART_EDR_MAX_ATTEMPTS: '30',
  READ_BACK_WAITS_MS: '500,2000,5000',
  SIGN_IN_LIMIT: '10000',
  KEEP_SUCCEEDED_CALLS: '1500',
  KEEP_FAILED_CALLS: '100',
  STALE_TTL_SECONDS: '240',
  CALLBACK_HOSTS: '127.0.0.1',
  CALLBACK_RETRY_SECONDS: '1,1,2,2,3,3,5,5,5,5',
  CALLBACK_BREAKER_RESET_MS: '1500',
};

/** Rejects only if the system cannot be started or the faults do not end. */
export async function runSoak(options: SoakOptions): Promise<SoakLedger> {
  const dataDir = await mkdtemp(join(tmpdir(), 'recloser-soak-'));
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const logs = new LogWatch();
  try {
    await using stack = await startStack({
      env: { ...settings, CALLBACK_SECRETS: secret },
      workers: 3,
      dataDir,
      installationDir: process.env.DATA_DIR?.trim() || '.data',
      onLine: logs.line,
    });
    return await play(stack, options, secret, logs);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function play(
  stack: Stack,
  { seconds, least = { calls: 0, faults: 0 }, seed, perSecond, signal, live }: SoakOptions,
  secret: string,
  logs: LogWatch,
): Promise<SoakLedger> {
  const watched = new WatchedFetch();
  const client = new RecloserClient({ baseUrl: stack.urls.web, fetch: watched.fetch });
  const api = new StackApi(stack.urls);
  const admin = await AdminApi.logIn(stack.urls.admin, 'admin', password);
  await using redis = connect(stack.redisUrl);
  const queues = Object.fromEntries(upstreams.map((name) => [name, queueOf(name, redis.client)]));
  await using receiver = await startReceiver(secret, randomOf(seed + 1));
  const book = new CallBook(client);
  const memory = new Memory();
  const startedAt = performance.now();
  const person = new Person({ api, admin });
  let lastFault = '';
  const say = (what: string) => {
    lastFault = what;
  };
  const traffic = new Traffic({
    client,
    book,
    random: randomOf(seed + 2),
    perSecond,
    callbackUrl: receiver.url,
  });
  const faults = new Faults({ stack, api, admin, queues, random: randomOf(seed), say });
  const step = async () => {
    await Promise.all([book.follow(), sampleAll({ memory, stack, redis: redis.client, keys: book.size })]);
    const s = Math.round((performance.now() - startedAt) / 1000);
    live?.(`${s} s  ${JSON.stringify(book.counts())}  open ${book.openCount}  ${lastFault}`);
    // Read before their retention ends: a person may have settled them.
    if (s % 10 === 0) await book.lookAtDoubts();
    await pause(1_000);
  };
  const isEnough = () =>
    performance.now() - startedAt >= seconds * 1000 &&
    book.size >= least.calls &&
    faults.total >= least.faults;
  while (!isEnough() && !signal?.aborted) await step();
  const endedAt = performance.now();
  await Promise.all([faults.stop(), traffic.stop()]);
  for (const name of upstreams) await api.faults([], { name });
  lastFault = 'draining';
  // Also waits for pending callbacks, and for calls in doubt that are not settled yet.
  const isDrained = () =>
    book.openCount === 0 &&
    !book.all.some((call) => call.status === 'in_doubt' || untold(call, receiver.told));
  while (!isDrained() && performance.now() - endedAt < drainMs) {
    await step();
    await book.lookAtDoubts();
  }
  const drainSeconds = Math.round((performance.now() - endedAt) / 100) / 10;
  const whole = await wholeAgain(api, queues);
  await person.stop();
  const seen = await api.ledger();
  await Promise.all(Object.values(queues).map((queue) => queue.close()));
  return makeLedger({
    seconds: Math.round((endedAt - startedAt) / 1000),
    seed,
    drainSeconds,
    book,
    traffic,
    faults,
    person,
    receiver,
    watched,
    logs,
    seen,
    whole,
    memory: memory.report(startedAt, endedAt),
  });
}

/** Whether a callback is due: the call's final status was not reported. */
function untold(
  { id, callback, status }: { id: string; callback: boolean; status: string },
  told: ReadonlyMap<string, readonly string[]>,
): boolean {
  return callback && !told.get(id)?.includes(status);
}

function connect(url: string) {
  const client = new Redis(url, { maxRetriesPerRequest: null });
  client.on('error', () => {});
  return { client, [Symbol.asyncDispose]: async () => client.disconnect() };
}

function queueOf(name: string, connection: Redis): Queue {
  const queue = new Queue(name, { connection, prefix: `recloser:{${name}}` });
  queue.on('error', () => {});
  return queue;
}

async function sampleAll(parts: { memory: Memory; stack: Stack; redis: Redis; keys: number }): Promise<void> {
  const { memory, stack, redis, keys } = parts;
  const { web, admin, simulator, workers } = stack;
  await Promise.all([web, admin, simulator, ...workers].map(({ name, pid }) => memory.sample(name, pid)));
  // A frozen or stopped Redis would keep the command waiting.
  if (redis.status !== 'ready') return;
  const info = await Promise.race([redis.info('memory'), pause(500, '')]).catch(() => '');
  const bytes = /^used_memory:(\d+)/m.exec(info)?.[1];
  if (!bytes) return;
  memory.note('redis', Number(bytes));
  memory.note('redis without idempotency keys', Number(bytes) - keys * idempotencyKeyBytes);
}

/** Returns what differs from the state before the first fault. */
async function wholeAgain(api: StackApi, queues: Readonly<Record<string, Queue>>): Promise<string[]> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const wrong: string[] = [];
    for (const [name, queue] of Object.entries(queues)) {
      const { breaker, holds } = await api.upstream(name);
      if (breaker.state !== 'closed') wrong.push(`${name}: its breaker is ${breaker.state}`);
      for (const { kind } of holds) wrong.push(`${name}: a hold of ${kind} is left`);
      if (await queue.isPaused()) wrong.push(`${name}: its queue is paused`);
      if ((await queue.getGlobalConcurrency()) !== null) wrong.push(`${name}: its concurrency is limited`);
    }
    if (wrong.length === 0 || Date.now() > deadline) return wrong;
    await pause(500);
  }
}
