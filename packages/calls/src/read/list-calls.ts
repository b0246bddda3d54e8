/**
 * Lists an upstream's calls, newest first, from BullMQ's own lists and sets, without a separate index. Calls are
 * ordered by acceptance, which never changes, so cursors stay valid and no call is listed twice. Each place is read in
 * slices, and only until its remaining calls must be older than the page.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { inDoubtKey } from '../call/keys.ts';
import { dueMsOf, type Placement } from '../queue/placement.ts';
import { listSlices, setSlices } from '../queue/read-slices.ts';
import { waitingSlices } from '../queue/waiting-slices.ts';
import { NewestCalls } from './newest-calls.ts';
import type { CallStatus } from './status.ts';
import type { StoredCall, StoredJob } from './view.ts';

type Source = { readonly redis: Redis; readonly queue: Pick<Queue, 'toKey'>; readonly root: string };

/** A call's id and its placement when it was read. */
export type ListedId = { readonly id: string; readonly placement: Placement };

/** BullMQ's lists and sets, and the index of calls in doubt. */
type Place = 'wait' | 'prioritized' | 'delayed' | 'active' | 'completed' | 'failed' | 'in-doubt';

/**
 * In the order in which calls move. `active` is read twice, because a running call may return to a place already read.
 */
const allPlaces: readonly Place[] = [
  'active',
  'wait',
  'prioritized',
  'delayed',
  'active',
  'completed',
  'failed',
];

/** Allows for clock differences between web and workers, and for slow commands. */
const marginMs = 10_000;

/** The places that can contain calls with this status. */
function placesOf(status: CallStatus | undefined): readonly Place[] {
  switch (status) {
    case undefined:
      return allPlaces;
    case 'scheduled':
    case 'retrying':
      return ['delayed'];
    case 'queued':
    case 'deferred':
      return ['wait', 'prioritized', 'delayed'];
    case 'running':
      return ['active'];
    case 'succeeded':
      return ['completed'];
    case 'in_doubt':
      return ['in-doubt'];
    case 'failed':
    case 'expired':
    case 'cancelled':
      return ['failed'];
    default:
      return status satisfies never;
  }
}

/**
 * The newest `limit` ids of calls that may have this status and are older than `before` (from `orderOfCallId`). Delayed
 * calls are not ordered by acceptance, so all of them are read.
 */
export async function listIds(
  source: Source,
  {
    status,
    before,
    limit = Number.POSITIVE_INFINITY,
  }: { readonly status?: CallStatus; readonly before?: string; readonly limit?: number },
): Promise<ListedId[]> {
  const newest = new NewestCalls<ListedId>(limit, before);
  for (const place of placesOf(status)) await readPlace(source, place, newest);
  return newest.sorted();
}

async function readPlace(source: Source, place: Place, newest: NewestCalls<ListedId>): Promise<void> {
  const { redis, queue, root } = source;
  switch (place) {
    case 'wait':
    case 'active':
      for await (const ids of listSlices(redis, queue.toKey(place))) newest.take(ids.map(at(place)));
      return;
    case 'prioritized': {
      const isEnough = (beforeMs: number) => newest.isOlderThanAll(beforeMs + marginMs);
      for await (const ids of waitingSlices(source, isEnough)) newest.take(ids.map(at(place)));
      return;
    }
    case 'delayed':
      for await (const slice of setSlices(redis, queue.toKey(place))) newest.take(slice.map(delayed));
      return;
    case 'completed':
    case 'failed':
    case 'in-doubt': {
      const key = place === 'in-doubt' ? inDoubtKey(root) : queue.toKey(place);
      for await (const slice of setSlices(redis, key)) {
        newest.take(slice.map(({ id }) => at(place)(id)));
        // The score is the finish time, which is later than the acceptance.
        if (newest.isOlderThanAll((slice.at(-1)?.score ?? 0) + marginMs)) return;
      }
      return;
    }
    default:
      return place satisfies never;
  }
}

function at(place: Exclude<Place, 'delayed'>): (id: string) => ListedId {
  const state =
    place === 'wait' || place === 'prioritized' ? 'waiting' : place === 'in-doubt' ? 'failed' : place;
  return (id) => ({ id, placement: { state, dueMs: null, position: null } });
}

function delayed({ id, score }: { id: string; score: number }): ListedId {
  return { id, placement: { state: 'delayed', dueMs: dueMsOf(score), position: null } };
}

/** Reads the jobs of listed calls without their results. Calls that no longer exist are omitted. */
export async function readListed(
  { redis, queue }: Pick<Source, 'redis' | 'queue'>,
  listed: readonly ListedId[],
): Promise<Map<string, StoredCall>> {
  const reading = redis.pipeline();
  for (const { id } of listed) {
    reading.hmget(
      queue.toKey(id),
      'name',
      'data',
      'opts',
      'timestamp',
      'atm',
      'stc',
      'processedOn',
      'finishedOn',
    );
  }
  const replies = (await reading.exec()) ?? [];
  const calls = new Map<string, StoredCall>();
  for (const [index, { id, placement }] of listed.entries()) {
    const [error, fields] = replies[index] ?? [null, []];
    if (error) throw error;
    const job = storedJob(id, fields as (string | null)[]);
    if (job) calls.set(id, { job, placement });
  }
  return calls;
}

function storedJob(id: string, fields: readonly (string | null)[]): StoredJob | undefined {
  const [name, data, opts, timestamp, attemptsMade, stalls, processedOn, finishedOn] = fields;
  if (!data || !name) return undefined;
  return {
    id,
    name,
    data: JSON.parse(data),
    opts: { ...JSON.parse(opts ?? '{}'), timestamp: Number(timestamp ?? 0) },
    attemptsMade: Number(attemptsMade ?? 0),
    stalledCounter: Number(stalls ?? 0),
    ...(processedOn && { processedOn: Number(processedOn) }),
    ...(finishedOn && { finishedOn: Number(finishedOn) }),
    returnvalue: null,
  };
}
