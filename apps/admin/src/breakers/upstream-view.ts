/**
 * One upstream in `GET /api/upstreams` and the live stream: the shape of `GET /v1/upstreams/{name}` plus fields for
 * operators. Times are ISO 8601 by Redis' clock, except in `day` and in names that end in `Ms`. It contains no data of
 * calls.
 */
import { readAdverts } from '@recloser/breaker/adverts';
import type { WorkerView } from '@recloser/breaker/record';
import { readEvidence, readUpstreamState, type Transition } from '@recloser/breaker/upstream-state';
import type { AddressDifference } from '@recloser/calls/call/advert';
import { readUnmet } from '@recloser/calls/call/need';
import { type QueueDepth, readQueueDepth } from '@recloser/calls/queue/depth';
import { type HoldView, holdView } from '@recloser/calls/read/view';
import type { Redis } from '@recloser/runtime/redis/connection';
import { isoTime } from '@recloser/runtime/values/iso-time';
import { incidentsOf } from '../incidents/incidents.ts';
import { type RetryRun, readRetryRun } from '../retry/retry-run.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import type { Rates } from '../upstream/rate-gauge.ts';
import type { RecentError } from '../upstream/recent-errors.ts';
import { type Agreement, agreementOf } from './agreement.ts';
import { type DayStrip, dayStripOf } from './day-strip.ts';
import { differencesOf, type UnmetNeed, unmetNeeds } from './worker-adverts.ts';

const timelineEntries = 30;
const incidentEntries = 5;
/** The breaker stays open for at most this many reset times. */
const longestOpenFactor = 10;

type FleetWorker = Omit<WorkerView, 'startedAt' | 'seenAt'> & {
  readonly startedAt: string;
  readonly seenAt: string;
  /** Its addresses that are not those of the fleet's workers. */
  readonly differs: readonly AddressDifference[];
};

/** One upstream. The first part has the shape of `GET /v1/upstreams/{name}`. */
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
  /** Number of live workers. */
  readonly workers: number;
  /** BullMQ's flag. The reconciler repairs it when it differs from "a hold is active". */
  readonly paused: boolean;
  /** Calls that the holds keep waiting; 0 without a hold. */
  readonly held: number;
  /** The numbers behind the state and their limits. */
  readonly evidence: {
    readonly failMax: number;
    readonly resetMs: number;
    readonly trips: number;
    readonly permitsTarget: number;
    readonly inFlight: number;
    readonly probing: boolean;
    readonly trialWorker: string | null;
    readonly successes: number;
    /** How long the breaker would stay open if it opened now. */
    readonly nextOpenMs: number;
    /** Workers that saw failures since the last success. */
    readonly failing: readonly {
      readonly worker: string;
      readonly failures: number;
      readonly lastError: string | null;
      readonly at: string | null;
    }[];
    /** The last failed attempts, newest first. */
    readonly errors: readonly RecentError[];
  };
  readonly rates: Rates;
  readonly agreement: Agreement;
  readonly fleet: readonly FleetWorker[];
  /** What calls that wait need and no live worker has. */
  readonly unmet: readonly UnmetNeed[];
  /** Newest first. */
  readonly timeline: readonly (Omit<Transition, 'at' | 'retryAt' | 'evidence'> & { readonly at: string })[];
  /** The timeline of the last 24 hours. */
  readonly day: DayStrip;
  /** The newest outages, newest first. */
  readonly incidents: readonly {
    readonly id: string;
    readonly openedAt: string;
    readonly closedAt: string | null;
    readonly cause: string;
  }[];
  /** The current or last retry run. */
  readonly retryRun: RetryRun | null;
  readonly signIn: 'password' | 'text-message';
};

/** All upstreams at one time by Redis' clock. */
export type Snapshot = { readonly asOf: string; readonly upstreams: readonly UpstreamView[] };

/** Reads all upstreams. Rejects when Redis cannot be read. */
export async function readSnapshot(redis: Redis, upstreams: readonly AdminUpstream[]): Promise<Snapshot> {
  const read = await Promise.all(upstreams.map((upstream) => readView(redis, upstream)));
  const asOfMs = Math.max(0, ...read.map(({ nowMs }) => nowMs));
  return { asOf: new Date(asOfMs).toISOString(), upstreams: read.map(({ view }) => view) };
}

type Parts = Awaited<ReturnType<typeof readParts>>;

async function readParts(redis: Redis, { root, queue, transitions, rates, errors }: AdminUpstream) {
  const [state, depth, entries, paused, evidence, retryRun, adverts, unmet] = await Promise.all([
    readUpstreamState({ redis, root }),
    readQueueDepth({ redis, queue, root }),
    transitions.read(),
    queue.isPaused(),
    readEvidence({ redis, root }),
    readRetryRun({ redis, root }),
    readAdverts({ redis, root }),
    readUnmet({ redis, root }),
  ]);
  const due = depth.waiting + depth.overdue;
  const [pace, recent] = await Promise.all([
    rates.read(depth, due, state.nowMs),
    errors.read(depth, state.nowMs),
  ]);
  return { state, depth, due, entries, paused, evidence, retryRun, adverts, unmet, pace, recent };
}

export async function readView(
  redis: Redis,
  upstream: AdminUpstream,
): Promise<{ nowMs: number; view: UpstreamView }> {
  const parts = await readParts(redis, upstream);
  const { state, depth, due, entries, paused, retryRun, pace } = parts;
  const { breaker, holds, workers, nowMs } = state;
  const { definition } = upstream;
  const differs = differencesOf(parts.adverts);
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
    held: holds.length > 0 ? due : 0,
    evidence: evidenceView(parts, upstream),
    rates: pace,
    agreement: agreementOf({ breaker, holds, paused, workers, nowMs }),
    fleet: workers.map((worker) => ({
      ...worker,
      startedAt: new Date(worker.startedAt).toISOString(),
      seenAt: new Date(worker.seenAt).toISOString(),
      differs: differs.get(worker.id) ?? [],
    })),
    unmet: unmetNeeds(parts.unmet, parts.adverts),
    timeline: entries
      .slice(0, timelineEntries)
      .map(({ retryAt: _retryAt, evidence: _evidence, ...entry }) => ({
        ...entry,
        at: new Date(entry.at).toISOString(),
      })),
    day: dayStripOf(
      entries,
      { ms: nowMs, state: breaker.state, since: breaker.since },
      workers.map(({ startedAt }) => startedAt),
    ),
    incidents: incidentsOf(entries)
      .slice(0, incidentEntries)
      .map(({ id, openedAt, closedAt, cause }) => ({
        id,
        openedAt: new Date(openedAt).toISOString(),
        closedAt: isoTime(closedAt),
        cause,
      })),
    retryRun,
    signIn: definition.signIn,
  };
  return { nowMs, view };
}

function evidenceView(
  { state, evidence, recent }: Parts,
  { policy }: AdminUpstream,
): UpstreamView['evidence'] {
  const { breaker, inFlight } = state;
  return {
    failMax: policy.failMax,
    resetMs: policy.resetMs,
    trips: breaker.trips,
    permitsTarget: breaker.permitsTarget,
    inFlight,
    probing: breaker.probing,
    trialWorker: breaker.leaseHolder,
    successes: breaker.successes,
    nextOpenMs: policy.resetMs * Math.min(2 ** breaker.trips, longestOpenFactor),
    failing: evidence.map(({ worker, failures, lastError, at }) => ({
      worker,
      failures,
      lastError,
      at: isoTime(at),
    })),
    errors: recent,
  };
}
