/**
 * A process's part in pushing results: takes callbacks from their queue, and looks for ends of calls that nobody
 * has announced.
 *
 * Always true: one process of the fleet sweeps per interval; an end that is announced by its worker at once and
 * found by the sweep as well is one job; no delivery is begun after `deliveries.quiet`.
 */

import { queueOptions, upstreamRoot } from '@recloser/calls/call/keys';
import type { CallbackHosts } from '@recloser/calls/callback/hosts';
import {
  announceEnds,
  type CallbackJob,
  type CallbackSource,
  callbackQueueOptions,
  callbackUrlOf,
  noteCallbacks,
  sweepEnds,
} from '@recloser/calls/callback/queue';
import type { CallbackSigner } from '@recloser/calls/callback/signature';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { HealthCheck } from '@recloser/runtime/process/health';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import { Queue } from 'bullmq';
import { CallWorker } from '../queue/call-worker.ts';
import type { StopSwitch } from '../queue/stop-switch.ts';
import { defaultTimings, jittered, type Timings } from '../queue/timings.ts';
import { errorLog, watchWorker } from '../queue/worker-events.ts';
import { type Delivered, DeliveryFailed, deliverCallback } from './delivery.ts';
import { CallbackGate } from './gate.ts';
import type { CallbackMetrics } from './metrics.ts';
import type { Resolve } from './sender.ts';

export type CallbackWorkerOptions = {
  /** All upstreams, also those this process makes no calls for. */
  readonly upstreams: readonly string[];
  /** `REDIS_PREFIX`. */
  readonly prefix: string;
  readonly connections: { readonly worker: Redis; readonly fast: Redis };
  readonly workerId: string;
  readonly hosts: CallbackHosts;
  readonly signer: CallbackSigner;
  readonly sealer: Sealer;
  readonly timeoutMs: number;
  /** Pauses between the attempts at one delivery. */
  readonly retryWaitsMs: readonly number[];
  readonly metrics: CallbackMetrics;
  readonly log: Logger;
  readonly stop: StopSwitch;
  readonly concurrency?: number;
  readonly sweepMs?: number;
  readonly breaker: { readonly failMax: number; readonly resetMs: number };
  readonly timings?: Partial<Timings>;
  readonly resolve?: Resolve;
};

/** A call that may have ended, as BullMQ's events show it. */
export type EndedJob = { readonly id?: string; readonly data: unknown; readonly finishedOn?: number };

const defaults = { concurrency: 10, sweepMs: 5_000 };
/** Share of the places that one host may take. */
const hostShare = 0.4;
const stallsAllowed = 1_000_000;
const dayMs = 86_400_000;
/** Receivers asking for more patience than this are asked again all the same. */
const longestRetryAfterMs = 3_600_000;

export class CallbackWorker {
  readonly queue: Queue;
  readonly #options: CallbackWorkerOptions;
  readonly #timings: Timings;
  readonly #sources: ReadonlyMap<string, CallbackSource & { readonly queue: Queue }>;
  readonly #worker: CallWorker<CallbackJob, Delivered>;
  /** The two phases of stopping to deliver; ends of calls are still announced until `close`. */
  readonly deliveries = {
    quiet: (): Promise<void> => this.#worker.pause(true),
    close: (): Promise<void> => this.#worker.close(),
  };
  #timer: NodeJS.Timeout | undefined;
  readonly #work = new Set<Promise<void>>();
  #closed: Promise<void> | undefined;

  constructor(options: CallbackWorkerOptions) {
    this.#options = options;
    this.#timings = { ...defaultTimings, ...options.timings };
    this.queue = this.#openQueue(callbackQueueOptions(options.prefix));
    this.#sources = new Map(
      options.upstreams.map((upstream) => {
        const queue = this.#openQueue(queueOptions(options.prefix, upstream));
        return [upstream, { upstream, root: upstreamRoot(options.prefix, upstream), queue }];
      }),
    );
    this.#worker = this.#createWorker();
  }

  /** Begins to take callbacks and to sweep. */
  start(): void {
    this.#worker.keepRunning(this.#options.log);
    this.#schedule();
  }

  /** Told of a job's end by the worker that ended it: announces it now instead of at the next sweep. */
  announce(upstream: string, job: EndedJob | undefined): void {
    if (job?.id === undefined || job.finishedOn === undefined || callbackUrlOf(job.data) === undefined)
      return;
    const { id } = job;
    const source = this.#sources.get(upstream);
    if (source && !this.#closed) this.#run(() => this.#announce(source, id));
  }

  /** One sweep, unless another process did it lately. */
  async sweep(): Promise<void> {
    const { connections, prefix, sweepMs = defaults.sweepMs, log } = this.#options;
    // Not a lock that is given back: it also says that this interval's sweep is done.
    const key = `${callbackQueueOptions(prefix).prefix}:sweep`;
    const ours = await connections.fast.set(key, '1', 'PX', Math.ceil(sweepMs * 0.8), 'NX');
    if (ours === null) return;
    for (const source of this.#sources.values()) {
      const { announced, lost } = await sweepEnds({ ...this.#announcing(), source });
      if (announced > 0) log.info({ upstream: source.upstream, announced }, 'announced ends of calls late');
      if (lost > 0) log.warn({ upstream: source.upstream, lost }, 'calls were dropped before their callback');
    }
  }

  /** Resolves when nothing is left to do. Safe to call twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether callbacks are fetched; part of readiness. */
  checks(): readonly HealthCheck[] {
    return [this.#worker.check('callbacks')];
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.deliveries.close();
    await Promise.all(this.#work);
    await Promise.all(
      [this.queue, ...[...this.#sources.values()].map(({ queue }) => queue)].map((q) => q.close()),
    );
  }

  async #announce(source: CallbackSource, id: string): Promise<void> {
    // Noted here as well: whoever stored the call may not have.
    await noteCallbacks(this.#options.connections.fast, source.root, [id]);
    await announceEnds({ ...this.#announcing(), source, ids: [id] });
  }

  #announcing() {
    const { connections, retryWaitsMs } = this.#options;
    return { redis: connections.fast, callbacks: this.queue, attempts: retryWaitsMs.length + 1 };
  }

  /** Work beside the deliveries; a failure is made up for by the next sweep. */
  #run(work: () => Promise<void>): void {
    const done = work().catch((err: unknown) => {
      this.#options.log.warn({ err }, 'ends of calls could not be announced; trying again soon');
    });
    this.#work.add(done);
    void done.then(() => this.#work.delete(done));
  }

  #schedule(): void {
    const inMs = jittered(this.#options.sweepMs ?? defaults.sweepMs);
    this.#timer = setTimeout(() => {
      this.#run(async () => {
        try {
          await this.sweep();
        } finally {
          if (!this.#closed) this.#schedule();
        }
      });
    }, inMs);
    this.#timer.unref();
  }

  #openQueue({ name, ...where }: { name: string; prefix: string }): Queue {
    const queue = new Queue(name, { ...where, connection: this.#options.connections.worker });
    queue.on('error', errorLog(this.#options.log, 'trouble with a queue'));
    return queue;
  }

  #createWorker(): CallWorker<CallbackJob, Delivered> {
    const { connections, log, prefix, workerId, concurrency = defaults.concurrency } = this.#options;
    const { name, ...where } = callbackQueueOptions(prefix);
    const context = this.#deliveryContext(concurrency);
    const worker = new CallWorker<CallbackJob, Delivered>(
      name,
      (job, token) => deliverCallback(context, job, token),
      {
        ...where,
        connection: connections.worker,
        name: workerId,
        concurrency,
        timings: this.#timings,
        maxStalledCount: stallsAllowed,
        settings: { backoffStrategy: (made, _type, error) => this.#retryWaitMs(made, error) },
      },
    );
    watchWorker(worker, { log, onStalled: () => {} });
    return worker;
  }

  #deliveryContext(concurrency: number): Parameters<typeof deliverCallback>[0] {
    const { breaker, connections, prefix, workerId, timeoutMs, retryWaitsMs, ...rest } = this.#options;
    const gate = new CallbackGate({
      redis: connections.fast,
      prefix,
      worker: workerId,
      perHost: Math.max(1, Math.floor(concurrency * hostShare)),
      breaker,
      timeoutMs,
      busyMs: this.#timings.hostBusyMs,
    });
    const queues = new Map([...this.#sources].map(([name, { queue }]) => [name, queue]));
    const maxAgeMs = retryWaitsMs.reduce((sum, ms) => sum + ms, 0) * 1.2 + dayMs;
    return { ...rest, redis: connections.fast, queues, gate, timeoutMs, maxAgeMs, timings: this.#timings };
  }

  /** The list's pause, give or take a tenth; longer when the receiver asked for that. */
  #retryWaitMs(attemptsMade: number, error: Error | undefined): number {
    const { retryWaitsMs } = this.#options;
    const wait = retryWaitsMs[Math.min(attemptsMade, retryWaitsMs.length) - 1] ?? 0;
    const asked = error instanceof DeliveryFailed ? Math.min(error.waitMs ?? 0, longestRetryAfterMs) : 0;
    return Math.round(Math.max(asked, wait * (0.9 + Math.random() * 0.2)));
  }
}
