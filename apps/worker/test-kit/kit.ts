/** For this app's tests: one upstream with a scripted client, real Redis, the real breaker and real workers. */
import { randomUUID } from 'node:crypto';
import { type CallView, callView, readCall } from '@recloser/calls/read/view';
import { enqueueCall } from '@recloser/calls/write/enqueue';
import { type CallOptions, callOptions } from '@recloser/calls/write/options';
import { createLogger } from '@recloser/runtime/observe/logger';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { connectRedis, type Redis } from '@recloser/runtime/redis/connection';
import { createSealer } from '@recloser/runtime/secrets/seal';
import type {
  AttemptContext,
  OperationDefinition,
  Outcome,
  SignInResult,
  SignInStep,
  UpstreamClient,
  UpstreamDefinition,
  Verification,
} from '@recloser/upstreams/contract/upstream';
import type { Queue } from 'bullmq';
import { inject, vi } from 'vitest';
import { z } from 'zod';
import { createWorkerMetrics } from '../src/call/worker-metrics.ts';
import { stopWorkers } from '../src/create-workers.ts';
import { StopSwitch } from '../src/queue/stop-switch.ts';
import type { Timings } from '../src/queue/timings.ts';
import { UpstreamWorker, type UpstreamWorkerOptions } from '../src/upstream-worker.ts';

const retry = { maxAttempts: 3, baseMs: 10, factor: 2, capMs: 50 };
const base = { summary: '', input: z.any(), result: z.any(), timeoutMs: 60_000, retry };

const operations = {
  read: { ...base, name: 'read', effect: 'read' },
  write: { ...base, name: 'write', effect: 'unsafe', makes: 'madeId' },
  remove: { ...base, name: 'remove', effect: 'idempotent' },
  notify: { ...base, name: 'notify', effect: 'unsafe' },
  secret: { ...base, name: 'secret', effect: 'read', sealedInput: ['note'], sealedResult: true },
} as const satisfies Record<string, OperationDefinition>;

export const testUpstream: UpstreamDefinition = {
  name: 'testing',
  title: 'Testing',
  envPrefix: 'TESTING',
  breaker: { failMax: 1_000, resetMs: 60_000, failPercent: 50 },
  signIn: 'text-message',
  operations,
};

/** Short waits, but a long lock, so that a slow machine loses no call. A test that needs a lost lock deletes it. */
export const testTimings: Partial<Timings> = {
  readBackWaitsMs: [20, 40, 60],
  stepAsideMs: 20,
  leaveMinMs: 20,
  leaveMaxMs: 40,
  leaveRestMs: 1,
  putOffMs: 10,
  hostBusyMs: 10,
  lockMs: 60_000,
  stalledCheckMs: 100,
  blockMs: 1_000,
};

type Run = (operation: string, input: unknown, context: AttemptContext) => Promise<Outcome>;
type Verify = (operation: string, input: unknown, context: AttemptContext) => Promise<Verification>;

/** A client that runs the test's handlers and records its calls. */
export class ScriptedClient implements UpstreamClient {
  onRun: Run = async () => done;
  onVerify: Verify = async () => ({ kind: 'absent', health: 'up' });
  currentSession: () => Promise<string | null> = async () => null;
  onSignIn: (step: SignInStep) => Promise<SignInResult> = async () => ({ kind: 'code-sent' });
  readonly asked: string[] = [];
  readonly inputs: unknown[] = [];
  readonly steps: SignInStep[] = [];

  async run(operation: string, input: unknown, context: AttemptContext): Promise<Outcome> {
    this.asked.push(operation);
    this.inputs.push(input);
    return this.onRun(operation, input, context);
  }

  async verify(operation: string, input: unknown, context: AttemptContext): Promise<Verification> {
    this.asked.push(`verify ${operation}`);
    return this.onVerify(operation, input, context);
  }

  canVerify(operation: string): boolean {
    return operation === 'write';
  }

  async signInStep(step: SignInStep): Promise<SignInResult> {
    this.steps.push(step);
    return this.onSignIn(step);
  }

  async close(): Promise<void> {}
}

export const done: Outcome = { kind: 'done', health: 'up', result: { ok: true }, status: 200 };

export function outcome<Kind extends 'retry' | 'reject' | 'in_doubt'>(
  kind: Kind,
  extra: { health?: 'up' | 'unknown'; status?: number; code?: string } = {},
) {
  return { kind, health: 'up' as const, code: `${kind}_code`, message: `It said ${kind}.`, ...extra };
}

/** Waits until `look` does not throw, and returns its result. */
export function until<T>(look: () => T | Promise<T>, timeout = 55_000): Promise<T> {
  return vi.waitFor(look, { timeout, interval: 10 });
}

type KitOptions = {
  readonly timings?: Partial<Timings>;
  readonly breaker?: { failMax: number; resetMs: number };
  readonly concurrency?: number;
};

/** How a worker differs from the others of its kit. */
type OtherWorker = Partial<Pick<UpstreamWorkerOptions, 'sealer'>> & {
  readonly baseUrl?: string;
  readonly operations?: Readonly<Record<string, OperationDefinition>>;
};

type Connections = { readonly worker: Redis; readonly fast: Redis; readonly subscriber: Redis };

/** One Redis prefix with a sealer and queues. Dispose it with `await using`. */
export class Kit {
  readonly prefix = `test-${randomUUID()}`;
  readonly lines: string[] = [];
  readonly log = createLogger({
    name: 'test',
    level: 'debug',
    destination: { write: (line) => void this.lines.push(line) },
  });
  readonly sealer = createSealer(Buffer.alloc(32, 7));
  readonly #connections: Redis[] = [];
  readonly redis = this.connect('worker');
  readonly #options: KitOptions;
  readonly #running: { worker: UpstreamWorker; stop: StopSwitch }[] = [];
  /** Never started. Tests use its queue and holds. */
  readonly #idle: UpstreamWorker;

  constructor(options: KitOptions) {
    this.#options = options;
    this.#idle = this.#make(new ScriptedClient()).worker;
  }

  get queue(): Queue {
    return this.#idle.queue;
  }

  get root(): string {
    return this.#idle.root;
  }

  get holds(): UpstreamWorker['breaker']['holds'] {
    return this.#idle.breaker.holds;
  }

  /** A connection that the kit closes. */
  connect(role: keyof Connections): Redis {
    const redis = connectRedis(inject('redisUrl'), { role, name: 'test', log: this.log });
    this.#connections.push(redis);
    return redis;
  }

  /** Creates a worker and starts it, unless `start` is false. The first one is `w1`. */
  async worker(client: UpstreamClient, { start = true, ...other }: { start?: boolean } & OtherWorker = {}) {
    const made = this.#make(client, other);
    if (start) await made.worker.start();
    return { ...made, breaker: made.worker.breaker };
  }

  /** Enqueues a call as the web app does and returns its id. */
  async post(
    operation: keyof typeof operations,
    options: Partial<CallOptions> = {},
    input: Record<string, unknown> = {},
  ): Promise<string> {
    const stored = await enqueueCall({
      redis: this.redis,
      queue: this.queue,
      prefix: this.prefix,
      upstream: 'testing',
      operation: operations[operation],
      input,
      options: { ...callOptions(Date.now()).parse({}), ...options },
      sealer: this.sealer,
      requestId: 'request-1',
    });
    if (stored.kind !== 'stored') throw new Error(`not stored: ${stored.kind}`);
    return stored.id;
  }

  /** The call as the API shows it. */
  async view(id: string): Promise<CallView> {
    const call = await readCall({ redis: this.redis, queue: this.queue, id });
    if (!call) throw new Error(`no such call: ${id}`);
    const holds = await this.holds.list();
    return callView({ upstream: 'testing', call, holds, nowMs: Date.now(), sealer: this.sealer });
  }

  /** Waits until the call has this status. */
  until(id: string, status: CallView['status']): Promise<CallView> {
    return until(async () => {
      const seen = await this.view(id);
      if (seen.status !== status) throw new Error(`${seen.status}: ${JSON.stringify(seen)}`);
      return seen;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { worker, stop } of this.#running.reverse()) {
      await stopWorkers([worker], { stop, deadlineMs: 0, log: this.log });
    }
    for (const connection of this.#connections) connection.disconnect();
  }

  #make(
    client: UpstreamClient,
    { sealer = this.sealer, operations: known = operations, baseUrl }: OtherWorker = {},
  ): { worker: UpstreamWorker; stop: StopSwitch } {
    const { breaker = testUpstream.breaker, concurrency = 5, timings } = this.#options;
    const stop = new StopSwitch();
    const connections: Connections = {
      worker: this.connect('worker'),
      // Without the timeout of a fast connection, which a slow machine may exceed.
      fast: this.connect('worker'),
      subscriber: this.connect('subscriber'),
    };
    const worker = new UpstreamWorker({
      definition: testUpstream,
      settings: { ...(baseUrl && { baseUrl }), operations: known, breaker: { failPercent: 50, ...breaker } },
      client,
      prefix: this.prefix,
      connections,
      worker: { id: `w${this.#running.length}`, host: 'test', pid: this.#running.length },
      concurrency,
      sealer,
      metrics: createWorkerMetrics(createMetrics('test'))('testing'),
      log: this.log,
      stop,
      timings: { ...testTimings, ...timings },
    });
    this.#running.push({ worker, stop });
    return { worker, stop };
  }
}

/** Creates a kit and waits for its connections. */
export async function createKit(options: KitOptions = {}): Promise<Kit> {
  const kit = new Kit(options);
  await Promise.all([kit.queue.waitUntilReady(), kit.redis.ping()]);
  return kit;
}
