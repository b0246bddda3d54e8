/** What the handlers work with, wired together in `main.ts`. */
import type { BreakerRecord, Hold } from '@recloser/breaker/record';
import type { RedisClient } from '@recloser/calls/keys';
import type { Sealer } from '@recloser/calls/seal-input';
import type { Logger } from '@recloser/runtime/logger';
import type { RedisSafety } from '@recloser/runtime/redis-safety';
import type { OperationDefinition } from '@recloser/upstreams/upstream';
import type { Queue } from 'bullmq';
import type { ApiKey } from './api-keys.ts';
import type { BacklogGauge } from './backlog.ts';
import type { CallWaiter } from './wait-for-call.ts';
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
};

/** Breaker, holds and workers of an upstream, by Redis' clock. */
export type UpstreamStateView = {
  readonly nowMs: number;
  readonly breaker: BreakerRecord;
  readonly holds: readonly Hold[];
  readonly workers: readonly { readonly setAside: boolean }[];
};

export type WebDeps = {
  readonly production: boolean;
  readonly prefix: string;
  /** Role `fast`: every command settles within 1.5 s. */
  readonly redis: RedisClient;
  readonly upstreams: ReadonlyMap<string, WebUpstream>;
  readonly apiKeys: readonly ApiKey[];
  readonly sealer: Sealer;
  readonly waiter: CallWaiter;
  readonly backlog: BacklogGauge;
  /** Share of Redis' memory above which no more calls are taken. */
  readonly memoryLimitShare: number;
  /** The last finding of the background watch. */
  readonly safety: () => RedisSafety;
  /** Looks now. */
  readonly checkSafety: () => Promise<RedisSafety>;
  readonly readUpstreamState: (upstream: WebUpstream) => Promise<UpstreamStateView>;
  readonly metrics: WebMetrics;
  readonly log: Logger;
};
