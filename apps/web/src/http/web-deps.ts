/** What the handlers work with, wired together in `main.ts`. */

import type { BreakerRecord, Hold } from '@recloser/breaker/record';
import type { CallbackHosts } from '@recloser/calls/callback/hosts';
import type { Placement } from '@recloser/calls/queue/placement';
import type { Throughput } from '@recloser/calls/queue/throughput';
import type { LastGoodFinder } from '@recloser/calls/write/last-good';
import type { SucceededRetention } from '@recloser/calls/write/retention';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Tracing } from '@recloser/runtime/observe/tracing';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { ConfirmWritten } from '@recloser/runtime/redis/replicas';
import type { RedisSafety } from '@recloser/runtime/redis/safety';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import type { Queue } from 'bullmq';
import type { KeyRing } from './key-ring.ts';
import type { RateLimit } from './rate-limit.ts';
import type { WebMetrics } from './web-metrics.ts';

/** One upstream as the web app holds it. */
export type WebUpstream = {
  readonly name: string;
  /** Operations with this installation's attempts filled in. */
  readonly operations: Readonly<Record<string, OperationDefinition>>;
  /** Calls waiting at which intake says no. */
  readonly maxBacklog: number;
  readonly root: string;
  readonly queue: Queue;
  readonly lastGood: LastGoodFinder;
};

/** Breaker, holds and workers of an upstream, by Redis' clock. */
export type UpstreamStateView = {
  readonly nowMs: number;
  readonly breaker: BreakerRecord;
  readonly holds: readonly Hold[];
  readonly workers: readonly { readonly setAside: boolean }[];
};

/** Longest time, in ms, to store one call and to read it back for the answer. */
export type AnswerTimes = { readonly storeMs: number; readonly readBackMs: number };

export type WebDeps = {
  readonly production: boolean;
  readonly prefix: string;
  /** Role `fast`: every command settles within 1.5 s. */
  readonly redis: Redis;
  readonly upstreams: ReadonlyMap<string, WebUpstream>;
  readonly keys: KeyRing;
  readonly rateLimit: RateLimit;
  readonly sealer: Sealer;
  /** Asks the replicas before a call is accepted; absent: the master's word is enough. */
  readonly confirmWritten?: ConfirmWritten;
  /** Where callbacks may go; absent: nowhere. */
  readonly callbackHosts?: CallbackHosts;
  readonly answerTimes: AnswerTimes;
  readonly waiter: CallWaiter;
  readonly backlog: BacklogGauge;
  readonly throughput: ThroughputGauge;
  /** How long succeeded calls are kept. */
  readonly retention: SucceededRetention;
  /** How old a stale result may be. */
  readonly staleTtlSeconds: number;
  /** Tells the workers that stale results of this operation are asked for. Never rejects, never waits. */
  readonly noteWanted: (upstream: WebUpstream, operation: string) => void;
  /** Share of Redis' memory above which no more calls are taken. */
  readonly memoryLimitShare: number;
  /** The last finding of the background watch. */
  readonly safety: () => RedisSafety;
  /** Looks now. */
  readonly checkSafety: () => Promise<RedisSafety>;
  readonly readUpstreamState: (upstream: WebUpstream) => Promise<UpstreamStateView>;
  readonly lookAtCall: LookAtCall;
  readonly metrics: WebMetrics;
  readonly tracing?: Tracing;
  readonly log: Logger;
};

export type BacklogGauge = {
  /** True when the upstream has no room for `count` more waiting calls. */
  isFull(upstream: WebUpstream, count?: number): boolean;
};

export type ThroughputGauge = {
  /** Undefined when there is too little to measure, or Redis is away. Never rejects. */
  read(upstream: Pick<WebUpstream, 'name' | 'queue'>): Promise<Throughput | undefined>;
};

export type Look = {
  readonly state: UpstreamStateView;
  readonly placement: Placement;
  readonly throughput: Throughput | undefined;
};

/** Rejects when Redis cannot be read. */
export type LookAtCall = (upstream: WebUpstream, id: string) => Promise<Look>;

/** Where the events of one upstream are. */
export type EventSource = { readonly name: string; readonly root: string };

export type CallWaiter = {
  /**
   * Runs `look` until it says the call is finished, the time is up, the client has gone or the process stops;
   * returns what `look` saw last.
   */
  wait<Seen>(options: {
    source: EventSource;
    id: string;
    timeoutMs: number;
    signal: AbortSignal;
    look: () => Promise<{ readonly finished: boolean; readonly seen: Seen }>;
  }): Promise<Seen>;
  /**
   * Runs `look` now, after each event of the call and every `everyMs`, until it says the call is finished, the
   * client has gone or the process stops. Rejects when `look` does.
   */
  follow(options: {
    source: EventSource;
    id: string;
    everyMs: number;
    signal: AbortSignal;
    look: () => Promise<{ readonly finished: boolean }>;
  }): Promise<void>;
  /** Ends every wait now and closes the connections. Safe to call twice. */
  stop(): Promise<void>;
};
