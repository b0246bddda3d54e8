/**
 * The calls that wait in line, latest come first within each priority, as far as they are wanted.
 *
 * BullMQ numbers jobs of one priority as they come in line. A call comes when it is accepted, and again after a
 * delay or a person's retry, then as an old call among young ones; one that is handed back goes to the front, with the
 * number 0. So whoever stands behind a call that came straight from its acceptance was accepted before it came.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { setSlices } from './read-slices.ts';

type Source = { readonly redis: Redis; readonly queue: Pick<Queue, 'toKey'> };

/** What BullMQ multiplies a priority with before it adds the number. */
const priorityFactor = 0x100000000;
/** So many at the end of a slice are asked when they came. */
const asked = 10;

/**
 * Reads the line. `isEnough` is asked after each slice: true when no call that was accepted before this time (ms since
 * 1970) is wanted; the rest of that priority is left out then.
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

/** When the last of these came in line, by those that came straight from their acceptance; Infinity when none of these did. */
async function cameNotAfter({ redis, queue }: Source, ids: readonly string[]): Promise<number> {
  const reading = redis.pipeline();
  for (const id of ids) reading.hmget(queue.toKey(id), 'timestamp', 'processedOn', 'opts', 'data');
  const replies = (await reading.exec()) ?? [];
  const times = replies.map(([error, reply]) => (error ? Number.NaN : cameStraightAt(reply as Fields)));
  const known = times.filter(Number.isFinite);
  return known.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...known);
}

type Fields = readonly (string | null)[];

/** When it was stored, if it has stood in line ever since; else NaN. */
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
