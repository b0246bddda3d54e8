/**
 * Reads the waiting calls, last enqueued first within each priority, until the caller has enough. BullMQ numbers the
 * jobs of a priority as they are enqueued. A call is enqueued when it is accepted, and again after a delay or a retry.
 * A call that a worker returns goes to the front with number 0. So all calls enqueued before a call that was enqueued
 * on acceptance were accepted before it, too.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { setSlices } from './read-slices.ts';

type Source = { readonly redis: Redis; readonly queue: Pick<Queue, 'toKey'> };

/** BullMQ's score of a job is its priority times this factor plus its number. */
const priorityFactor = 0x100000000;
/** Number of calls at the end of a slice whose enqueue time is checked. */
const asked = 10;

/**
 * Reads the queue. `isEnough` is called after each slice. If it returns true, calls accepted before that time (ms since
 * 1970) are not needed, and the rest of the priority is skipped.
 */
export async function* waitingSlices(
  source: Source,
  isEnough: (acceptedBeforeMs: number) => boolean,
): AsyncGenerator<readonly string[]> {
  const { redis, queue } = source;
  const key = queue.toKey('prioritized');
  for (let above = '+inf'; ; ) {
    const [, last] = await redis.zrevrangebyscore(key, above, '-inf', 'WITHSCORES', 'LIMIT', 0, 1);
    if (last === undefined) return;
    const front = String(Math.floor(Number(last) / priorityFactor) * priorityFactor);
    for await (const handedBack of setSlices(redis, key, { max: front, min: front })) {
      yield handedBack.map(({ id }) => id);
    }
    for await (const slice of setSlices(redis, key, { max: last, min: `(${front}` })) {
      const ids = slice.map(({ id }) => id);
      yield ids;
      if (isEnough(await cameNotAfter(source, ids.slice(-asked)))) break;
    }
    above = `(${front}`;
  }
}

/** Latest enqueue time of the calls that were enqueued on acceptance. Infinity if there is none. */
async function cameNotAfter({ redis, queue }: Source, ids: readonly string[]): Promise<number> {
  const reading = redis.pipeline();
  for (const id of ids) reading.hmget(queue.toKey(id), 'timestamp', 'processedOn', 'opts', 'data');
  const replies = (await reading.exec()) ?? [];
  const times = replies.map(([error, reply]) => (error ? Number.NaN : cameStraightAt(reply as Fields)));
  const known = times.filter(Number.isFinite);
  return known.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...known);
}

type Fields = readonly (string | null)[];

/** Acceptance time of a call that has been in the queue since. NaN for any other call. */
function cameStraightAt([timestamp, processedOn, opts, data]: Fields): number {
  if (!timestamp || processedOn || !opts || !data) return Number.NaN;
  const { delay = 0 } = JSON.parse(opts) as { delay?: number };
  const {
    history = [],
    deferrals = 0,
    settled,
  } = JSON.parse(data) as {
    history?: unknown[];
    deferrals?: number;
    settled?: unknown;
  };
  const untouched = delay === 0 && history.length === 0 && deferrals === 0 && settled === undefined;
  return untouched ? Number(timestamp) : Number.NaN;
}
