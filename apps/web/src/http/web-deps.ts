/** What the handlers work with, wired together in `main.ts`. */
import type { BreakerRecord, Hold } from '@recloser/breaker/record';
import type { RedisClient } from '@recloser/calls/call/keys';
import type { Sealer } from '@recloser/calls/call/seal-input';
import type { CallbackHosts } from '@recloser/calls/callback/hosts';
import type { LastGoodFinder } from '@recloser/calls/write/last-good';
import type { SucceededRetention } from '@recloser/calls/write/retention';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Tracing } from '@recloser/runtime/observe/tracing';
import type { ConfirmWritten } from '@recloser/runtime/redis/replicas';
import type { RedisSafety } from '@recloser/runtime/redis/safety';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import type { Queue } from 'bullmq';
import type { LookAtCall } from '../calls/look-at-call.ts';
import type { CallWaiter } from '../calls/wait-for-call.ts';
import type { BacklogGauge } from '../intake/backlog.ts';
import type { ThroughputGauge } from '../upstreams/throughput-gauge.ts';
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
  readonly redis: RedisClient;
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
