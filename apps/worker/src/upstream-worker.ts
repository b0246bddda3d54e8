/** One upstream in a worker process: calls, sign-in, breaker. Calls are fetched only after holds were applied. */
import { UpstreamBreaker } from '@recloser/breaker/upstream-breaker';
import { type Advert, advertisedAddress } from '@recloser/calls/call/advert';
import { type CallReturnValue, type Envelope, envelopeVersions } from '@recloser/calls/call/envelope';
import { inDoubtKey, queueOptions, upstreamRoot } from '@recloser/calls/call/keys';
import { storeUnderLock } from '@recloser/calls/queue/store-under-lock';
import type { SignInJob, SignInJobResult } from '@recloser/calls/sign-in/queue';
import { claim, credit } from '@recloser/calls/write/claims';
import { noteLateAnswer } from '@recloser/calls/write/late-answers';
import type { Logger } from '@recloser/runtime/observe/logger';
import { noTracing, type Tracing } from '@recloser/runtime/observe/tracing';
import type { HealthCheck } from '@recloser/runtime/process/health';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { ConfirmWritten } from '@recloser/runtime/redis/replicas';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { UpstreamSettings } from '@recloser/upstreams/contract/settings';
import type { UpstreamClient, UpstreamDefinition } from '@recloser/upstreams/contract/upstream';
import { Queue } from 'bullmq';
import { backoffMs } from './call/backoff.ts';
import { keepLateAnswer } from './call/keep-late-answer.ts';
import { LeftCalls } from './call/left-calls.ts';
import { processCall } from './call/process-call.ts';
import { SuspectGate } from './call/suspect-gate.ts';
import type { WorkContext } from './call/work-context.ts';
import type { WorkerMetrics } from './call/worker-metrics.ts';
import type { EndedJob } from './callback/worker.ts';
import { CallWorker } from './queue/call-worker.ts';
import type { StopSwitch } from './queue/stop-switch.ts';
import { defaultTimings, type Timings } from './queue/timings.ts';
import { errorLog, watchWorker } from './queue/worker-events.ts';
import { SignInRecovery } from './sign-in/recovery.ts';
import { createSignInWorker } from './sign-in/worker.ts';
import { AddressWatch } from './upkeep/address-watch.ts';

export type UpstreamWorkerOptions = {
  readonly definition: UpstreamDefinition;
  readonly settings: Pick<UpstreamSettings, 'breaker' | 'operations'> &
    Partial<Pick<UpstreamSettings, 'baseUrl' | 'loginBaseUrl'>>;
  readonly client: UpstreamClient;
  /** `REDIS_PREFIX`. */
  readonly prefix: string;
  readonly connections: {
    /** BullMQ's: its commands wait until Redis is back. */
    readonly worker: Redis;
    /** The breaker's: its commands fail soon when Redis is gone. */
    readonly fast: Redis;
    readonly subscriber: Redis;
  };
  /** Asks the replicas before a write is sent; absent: the master's word is enough. */
  readonly confirmWritten?: ConfirmWritten | undefined;
  readonly worker: { readonly id: string; readonly host: string; readonly pid: number };
  readonly concurrency: number;
  readonly sealer: Sealer;
  readonly metrics: WorkerMetrics;
  readonly tracing?: Tracing | undefined;
  readonly log: Logger;
  readonly stop: StopSwitch;
  readonly timings?: Partial<Timings>;
  /** Told of each call that may have ended here, for its callback. */
  readonly onEnded?: (job: EndedJob | undefined) => void;
};

type Permit = Parameters<UpstreamBreaker['run']>[0];

/** A stall never fails a call, design section 4; BullMQ wants a number all the same. */
const stallsAllowed = 1_000_000;

/** For a job whose operation this release does not know; it is given back before it ever fails. */
const fallbackRetry = { maxAttempts: 8, baseMs: 1_000, factor: 2, capMs: 300_000 };

export class UpstreamWorker {
  readonly name: string;
  readonly root: string;
  readonly queue: Queue;
  readonly breaker: UpstreamBreaker;
  readonly #options: UpstreamWorkerOptions;
  readonly #timings: Timings;
  readonly #advert: Advert;
  readonly #leftCalls: LeftCalls;
  readonly #addresses: AddressWatch;
  readonly #calls: CallWorker<Envelope, CallReturnValue>;
  readonly #signIns: CallWorker<SignInJob, SignInJobResult> | undefined;
  readonly #recovery: SignInRecovery | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: UpstreamWorkerOptions) {
    const { definition, prefix, connections } = options;
    this.#options = options;
    this.#timings = { ...defaultTimings, ...options.timings };
    this.name = definition.name;
    this.root = upstreamRoot(prefix, definition.name);
    const { name, ...where } = queueOptions(prefix, definition.name);
    this.queue = new Queue(name, { ...where, connection: connections.worker });
    this.queue.on('error', errorLog(options.log, 'trouble with the queue'));
    this.#advert = advertOf(options);
    this.breaker = this.#createBreaker();
    const about = { redis: connections.fast, root: this.root, advert: this.#advert, log: options.log };
    this.#leftCalls = new LeftCalls({ ...about, recentMs: this.#timings.leftRecentlyMs });
    this.#addresses = new AddressWatch({ ...about, everyMs: this.#timings.addressLookMs });
    const context = this.#createContext();
    this.#calls = this.#createCallWorker(context);
    this.#recovery = this.#createRecovery();
    if (options.client.signInStep) {
      this.#signIns = createSignInWorker(context, {
        prefix,
        connection: connections.worker,
        log: options.log,
      });
    }
  }

  /** Breaker and holds first, then fetching. Resolves when calls are being taken. */
  async start(): Promise<void> {
    await this.breaker.start();
    this.#addresses.start();
    this.#calls.keepRunning(this.#options.log);
    this.#signIns?.keepRunning(this.#options.log);
    this.#recovery?.start();
  }

  /**
   * To be told of a sign-in with a password by this process: a hold that another worker set with other credentials, a
   * moment before, would stay although the session stands. Whoever sets one later sees the session.
   */
  signedIn(): void {
    const { definition, log, worker } = this.#options;
    if (definition.signIn !== 'password') return;
    const by = { owner: worker.id, reason: 'this worker has signed in' };
    this.breaker.holds.release('sign-in', by).catch((err: unknown) => {
      log.warn(
        { err },
        'signed in, but the sign-in hold could not be released: release it by hand if it stays',
      );
    });
  }

  /** First phase of stopping: takes nothing new. What runs goes on. */
  async quiet(): Promise<void> {
    await Promise.all([this.#calls.pause(true), this.#signIns?.pause(true)]);
  }

  /** Second phase: resolves when nothing runs any more; then leaves the fleet. Safe to call twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** Whether calls are fetched; part of readiness. */
  checks(): readonly HealthCheck[] {
    const calls = this.#calls.check(`${this.name}:calls`);
    const signIns = this.#signIns ? [this.#signIns.check(`${this.name}:sign-ins`)] : [];
    return [calls, ...signIns, ...this.#leftCalls.checks(`${this.name}:understood`)];
  }

  async #close(): Promise<void> {
    await Promise.all([this.#recovery?.stop(), this.#addresses.stop()]);
    await Promise.all([this.#calls.close(), this.#signIns?.close()]);
    await this.breaker.stop();
    await this.queue.close();
    await this.#options.client.close();
  }

  #createBreaker(): UpstreamBreaker {
    const { client, connections, metrics, settings, worker, concurrency, log } = this.#options;
    const { probe } = client;
    const timeouts = Object.values(settings.operations).map((operation) => operation.timeoutMs);
    return new UpstreamBreaker({
      redis: connections.fast,
      subscriber: connections.subscriber,
      root: this.root,
      queue: this.queue,
      policy: { ...settings.breaker, attemptTimeoutMs: Math.max(...timeouts) },
      worker: { ...worker, capacity: concurrency },
      advert: this.#advert,
      ...(probe && {
        probe: async (signal) => {
          const answer = await probe.call(client, { signal, onSending: async () => {} });
          metrics.trial(`probe-${answer.verdict}`);
          return answer;
        },
      }),
      log,
      onSetAside: (aside) => this.#setAside(aside),
    });
  }

  #createRecovery(): SignInRecovery | undefined {
    const { client, log, settings, worker } = this.#options;
    const { signInAnew, signInIsDue } = client;
    if (!signInAnew) return undefined;
    return new SignInRecovery({
      signInAnew: (when, signal) => signInAnew.call(client, when, signal),
      ...(signInIsDue && { isDue: () => signInIsDue.call(client) }),
      holds: this.breaker.holds,
      workerId: worker.id,
      everyMs: this.#timings.signInLookMs,
      timeoutMs: 2 * Math.max(...Object.values(settings.operations).map(({ timeoutMs }) => timeoutMs)),
      log,
    });
  }

  #setAside(aside: boolean): void {
    this.#options.log.warn({ aside }, aside ? 'set aside: taking no calls' : 'back: taking calls again');
    if (this.#options.stop.quiet) return;
    (aside ? this.#calls.pause(true) : this.#calls.resume()).catch((err: unknown) => {
      this.#options.log.error({ err }, 'could not be set aside or brought back');
    });
  }

  #createContext(): WorkContext<Permit> {
    const { client, confirmWritten, connections, log, metrics, sealer, settings, stop, tracing, worker } =
      this.#options;
    const inDoubt = inDoubtKey(this.root);
    const claims = { redis: connections.worker, root: this.root, queue: this.queue };
    return {
      upstream: this.name,
      workerId: worker.id,
      operations: settings.operations,
      client,
      breaker: this.breaker,
      sealer,
      isQueuePaused: () => this.queue.isPaused(),
      inDoubt: {
        add: (callId, atMs) => connections.worker.zadd(inDoubt, atMs, callId),
        remove: (callId) => connections.worker.zrem(inDoubt, callId),
      },
      claims: {
        claim: (id, callId) => claim(claims, id, callId),
        credit: (id, callId) => credit(claims, id, callId),
      },
      leftCalls: this.#leftCalls,
      storeUnderLock: ({ id = '' }, token, data) =>
        storeUnderLock({
          redis: connections.worker,
          queue: this.queue,
          id,
          token,
          lockMs: this.#timings.lockMs,
          data,
        }),
      confirmWritten: async (callId, includes) =>
        confirmWritten === undefined ||
        (await confirmWritten({ root: this.root, key: this.queue.toKey(callId), includes })),
      noteLateAnswer: (answer) => noteLateAnswer(connections.worker, this.root, answer),
      metrics,
      tracing: tracing ?? noTracing,
      log,
      stop,
      suspectGate: new SuspectGate(),
      timings: this.#timings,
    };
  }

  #createCallWorker(context: WorkContext<Permit>): CallWorker<Envelope, CallReturnValue> {
    const { concurrency, connections, log, metrics, prefix, settings } = this.#options;
    const { name, ...where } = queueOptions(prefix, this.name);
    const worker = new CallWorker<Envelope, CallReturnValue>(
      name,
      (...turn) => processCall(context, ...turn),
      {
        ...where,
        connection: connections.worker,
        name: context.workerId,
        concurrency,
        timings: this.#timings,
        maxStalledCount: stallsAllowed,
        settings: {
          backoffStrategy: (attemptsMade, _type, _error, job) => {
            const { operation } = (job?.data ?? {}) as Partial<Envelope>;
            return backoffMs(settings.operations[operation ?? '']?.retry ?? fallbackRetry, attemptsMade);
          },
        },
      },
    );
    watchWorker(worker, { log, onStalled: metrics.stalled });
    const { onEnded = () => {} } = this.#options;
    worker
      .on('completed', ({ name: operation }) => metrics.finished(operation, 'succeeded'))
      .on('completed', (job) => onEnded(job))
      .on('failed', (job) => onEnded(job));
    worker.onRefused = ({ id = '', name: operation }, { attempt, result }) =>
      keepLateAnswer(context, { callId: id, operation, entry: attempt, result });
    return worker;
  }
}

function advertOf({ sealer, settings }: UpstreamWorkerOptions): Advert {
  const { baseUrl: BASE_URL, loginBaseUrl: LOGIN_BASE_URL, operations } = settings;
  const addresses = Object.entries({ BASE_URL, LOGIN_BASE_URL }).flatMap(([variable, url]) =>
    url === undefined ? [] : [[variable, advertisedAddress(url)] as const],
  );
  return {
    operations: Object.keys(operations),
    envelopes: [...envelopeVersions],
    keys: [...(sealer.keys ?? [])],
    addresses: Object.fromEntries(addresses),
  };
}
