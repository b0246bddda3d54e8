/**
 * One upstream as `GET /api/upstreams` and the live page show it: the shape of `GET /v1/upstreams/{name}`
 * plus what an operator needs. Always true: times are ISO 8601 by Redis' clock, and no call's data is in it.
 */
import type { WorkerView } from '@recloser/breaker/record';
import { readTransitions, readUpstreamState, type Transition } from '@recloser/breaker/upstream-state';
import { type HoldView, holdView } from '@recloser/calls/call-view';
import { type QueueDepth, readQueueDepth } from '@recloser/calls/queue-depth';
import type { Redis } from '@recloser/runtime/redis';
import type { AdminUpstream } from './admin-upstream.ts';

const timelineEntries = 30;

type FleetWorker = Omit<WorkerView, 'startedAt' | 'seenAt'> & {
  readonly startedAt: string;
  readonly seenAt: string;
};

/** One upstream as the API shows it; the first part is the shape of `GET /v1/upstreams/{name}`. */
export type UpstreamView = {
  readonly name: string;
  readonly title: string;
  readonly breaker: {
    readonly state: 'closed' | 'open' | 'half_open';
    readonly since: string | null;
    readonly generation: number;
    readonly retryAt: string | null;
    readonly consecutiveFailures: number;
    readonly reason: string | null;
    readonly permits: number | null;
  };
  readonly holds: readonly HoldView[];
  readonly queue: QueueDepth;
  /** How many workers are alive. */
  readonly workers: number;
  /** BullMQ's own flag; differs from "a hold is active" only until the reconciler has run. */
  readonly paused: boolean;
  /** Calls that would run now if no hold were active; 0 while none is. */
  readonly held: number;
  /** The numbers behind the state, and what they are held against. */
  readonly evidence: {
    readonly failMax: number;
    readonly resetMs: number;
    readonly trips: number;
    readonly permitsTarget: number;
    readonly inFlight: number;
    readonly probing: boolean;
    readonly trialWorker: string | null;
    readonly successes: number;
  };
  readonly fleet: readonly FleetWorker[];
  /** Newest first. */
  readonly timeline: readonly (Omit<Transition, 'at'> & { readonly at: string })[];
  readonly signIn: 'password' | 'text-message';
};

/** Everything at one instant; `asOf` is Redis' clock. */
export type Snapshot = { readonly asOf: string; readonly upstreams: readonly UpstreamView[] };

/** Reads all upstreams. Rejects when Redis cannot be read. */
export async function readSnapshot(redis: Redis, upstreams: readonly AdminUpstream[]): Promise<Snapshot> {
  const read = await Promise.all(upstreams.map((upstream) => readView(redis, upstream)));
  const asOfMs = Math.max(0, ...read.map(({ nowMs }) => nowMs));
  return { asOf: new Date(asOfMs).toISOString(), upstreams: read.map(({ view }) => view) };
}

/** Reads one upstream. */
export async function readView(
  redis: Redis,
  upstream: AdminUpstream,
): Promise<{ nowMs: number; view: UpstreamView }> {
  const { root, queue, definition, policy } = upstream;
  const [state, depth, timeline, paused] = await Promise.all([
    readUpstreamState({ redis, root }),
    readQueueDepth({ redis, queue, root }),
    readTransitions({ redis, root, count: timelineEntries }),
    queue.isPaused(),
  ]);
  const { breaker, holds, workers } = state;
  const view: UpstreamView = {
    name: definition.name,
    title: definition.title,
    breaker: {
      state: breaker.state,
      since: isoTime(breaker.since),
      generation: breaker.generation,
      retryAt: isoTime(breaker.retryAt),
      consecutiveFailures: breaker.consecutiveFailures,
      reason: breaker.reason,
      permits: breaker.permits,
    },
    holds: holds.map(holdView),
    queue: depth,
    workers: workers.length,
    paused,
    held: holds.length > 0 ? depth.waiting + depth.overdue : 0,
    evidence: {
      failMax: policy.failMax,
      resetMs: policy.resetMs,
      trips: breaker.trips,
      permitsTarget: breaker.permitsTarget,
      inFlight: state.inFlight,
      probing: breaker.probing,
      trialWorker: breaker.leaseHolder,
      successes: breaker.successes,
    },
    fleet: workers.map((worker) => ({
      ...worker,
      startedAt: new Date(worker.startedAt).toISOString(),
      seenAt: new Date(worker.seenAt).toISOString(),
    })),
    timeline: timeline.map((entry) => ({ ...entry, at: new Date(entry.at).toISOString() })),
    signIn: definition.signIn,
  };
  return { nowMs: state.nowMs, view };
}

function isoTime(ms: number | null): string | null {
  return ms === null || ms === 0 ? null : new Date(ms).toISOString();
}
