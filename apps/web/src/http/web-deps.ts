/** The dependencies of the handlers, wired in `main.ts`. */

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

export type WebUpstream = {
  readonly name: string;
  /** The operations, with the configured number of attempts and duplicate window. */
  readonly operations: Readonly<Record<string, OperationDefinition>>;
  /** Backlog above which intake refuses calls. */
  readonly maxBacklog: number;
  readonly root: string;
  readonly queue: Queue;
  readonly lastGood: LastGoodFinder;
};

/** Breaker, holds and workers of an upstream. Times are by Redis' clock. */
export type UpstreamStateView = {
  readonly nowMs: number;
  readonly breaker: BreakerRecord;
  readonly holds: readonly Hold[];
  readonly workers: readonly { readonly setAside: boolean }[];
};

/** Time limits in ms for storing a call and for reading it back. */
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
  /** Waits for replicas to acknowledge a call before it is accepted. Absent: the master is enough. */
  readonly confirmWritten?: ConfirmWritten;
  /** Allow-list for callback URLs. Absent: no callbacks. */
  readonly callbackHosts?: CallbackHosts;
  readonly answerTimes: AnswerTimes;
  readonly waiter: CallWaiter;
  readonly backlog: BacklogGauge;
  readonly throughput: ThroughputGauge;
  /** How long succeeded calls are kept. */
  readonly retention: SucceededRetention;
  /** Maximum age of a stale result. */
  readonly staleTtlSeconds: number;
  /** Tells the workers in the background that an operation is requested with `ifOpen: "stale"`. */
  readonly noteWanted: (upstream: WebUpstream, operation: string) => void;
  /** Share of Redis' memory above which intake refuses calls. */
  readonly memoryLimitShare: number;
  /** The last result of the background check. */
  readonly safety: () => RedisSafety;
  /** Runs the check now. */
  readonly checkSafety: () => Promise<RedisSafety>;
  readonly readUpstreamState: (upstream: WebUpstream) => Promise<UpstreamStateView>;
  readonly lookAtCall: LookAtCall;
  readonly metrics: WebMetrics;
  readonly tracing?: Tracing;
  readonly log: Logger;
};

export type BacklogGauge = {
  /** True if the backlog has no room for `count` more calls. */
  isFull(upstream: WebUpstream, count?: number): boolean;
};

export type ThroughputGauge = {
  /** Undefined if too few calls have finished or Redis fails. Never rejects. */
  read(upstream: Pick<WebUpstream, 'name' | 'queue'>): Promise<Throughput | undefined>;
};

export type Look = {
  readonly state: UpstreamStateView;
  readonly placement: Placement;
  readonly throughput: Throughput | undefined;
};

/** Rejects if Redis fails. */
export type LookAtCall = (upstream: WebUpstream, id: string) => Promise<Look>;

/** Name and key root of the queue whose events are read. */
export type EventSource = { readonly name: string; readonly root: string };

export type CallWaiter = {
  /**
   * Runs `look` after each final event until the call has finished, `timeoutMs` has passed, the client has disconnected
   * or the process stops. Returns the last `seen`.
   */
  wait<Seen>(options: {
    source: EventSource;
    id: string;
    timeoutMs: number;
    signal: AbortSignal;
    look: () => Promise<{ readonly finished: boolean; readonly seen: Seen }>;
  }): Promise<Seen>;
  /**
   * Runs `look` now, after each event and every `everyMs`, until the call has finished, the client has disconnected or
   * the process stops. Rejects if `look` does.
   */
  follow(options: {
    source: EventSource;
    id: string;
    everyMs: number;
    signal: AbortSignal;
    look: () => Promise<{ readonly finished: boolean }>;
  }): Promise<void>;
  /** Ends all waits and closes the connections. Safe to call twice. */
  stop(): Promise<void>;
};
