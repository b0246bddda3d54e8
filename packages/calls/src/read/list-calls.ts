/**
 * Lists an upstream's calls, newest first, a page at a time. Nothing is written for it when a call is stored:
 * the ids are where BullMQ keeps the jobs, and they carry the time they were made.
 *
 * Always true: the order is that of acceptance and never changes, so a cursor stays good while calls move on and
 * no call comes twice. No command reads more than a slice, and a place whose rest must be older than what was found
 * is not read to its end: a page of a long line costs no more than a page of a short one.
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

/** A call's id and where it stood when it was met. */
export type ListedId = { readonly id: string; readonly placement: Placement };

/** BullMQ's names of where jobs are, and our index of calls in doubt. */
type Place = 'wait' | 'prioritized' | 'delayed' | 'active' | 'completed' | 'failed' | 'in-doubt';

/** In the order in which calls move, the running ones twice: they go on, or back to where was looked before. */
const allPlaces: readonly Place[] = [
  'active',
  'wait',
  'prioritized',
  'delayed',
  'active',
  'completed',
  'failed',
];

/** Clocks of web and workers may differ, and a command may have been on its way for a while. */
const marginMs = 10_000;

/** Where calls of a status can be. */
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
 * The ids of the calls that may have this status, newest first, older than `before` (from `orderOfCallId`), at most
 * `limit` (unless given, all). The delayed ones are in no useful order: all of them are read, in slices.
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
        // The score is when it ended, which no call did before it was accepted.
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

/** Reads the jobs of listed calls, without their results; those that are gone by now are left out. */
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
