/**
 * Counts the calls of a queue for `GET /v1/upstreams`. One atomic script, whose cost does not depend on the length of
 * the queue. While the queue is paused, BullMQ does not move due jobs out of `delayed`, so `overdue` counts them.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { timeOfCallId } from '../call/id.ts';
import { inDoubtKey } from '../call/keys.ts';
import { dueMsOf } from './placement.ts';

export type QueueDepth = {
  readonly waiting: number;
  readonly delayed: number;
  /** The calls in `delayed` that are due. */
  readonly overdue: number;
  readonly active: number;
  /** Excludes the calls in doubt. */
  readonly failed: number;
  readonly inDoubt: number;
  /** Age of the oldest call that could run now, counted from its acceptance. Null if there is none. */
  readonly oldestWaitingSeconds: number | null;
};

// The oldest call of each priority is the first of its score range. The loop visits each of the 100 ranges at most
// once.
const script = `
local now = redis.call('TIME')
local nowMs = now[1] * 1000 + math.floor(now[2] / 1000)
local ids = {}
local nextPlain = redis.call('LINDEX', KEYS[1], -1)
if nextPlain then ids[#ids + 1] = nextPlain end
local from = 0
for _ = 1, 101 do
  local first = redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.0f', from), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #first == 0 then break end
  ids[#ids + 1] = first[1]
  from = (math.floor(tonumber(first[2]) / 4294967296) + 1) * 4294967296
end
local overdueMax = string.format('%.0f', (nowMs + 1) * 4096 - 1)
local overdue = redis.call('ZCOUNT', KEYS[3], '-inf', overdueMax)
local firstOverdue = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', overdueMax, 'WITHSCORES', 'LIMIT', 0, 1)
return {
  string.format('%.0f', nowMs),
  redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]),
  redis.call('ZCARD', KEYS[3]), overdue, redis.call('LLEN', KEYS[4]),
  redis.call('ZCARD', KEYS[5]), redis.call('ZCARD', KEYS[6]),
  ids, firstOverdue[2] or ''
}
`;

type Reply = [string, number, number, number, number, number, number, string[], string];

/** Reads the depth of one upstream's queue. Times are by Redis' clock. */
export async function readQueueDepth(options: {
  redis: Redis;
  queue: Pick<Queue, 'toKey'>;
  root: string;
}): Promise<QueueDepth> {
  const { redis, queue, root } = options;
  const keys = ['wait', 'prioritized', 'delayed', 'active', 'failed'].map((part) => queue.toKey(part));
  const reply = (await redis.eval(script, keys.length + 1, ...keys, inDoubtKey(root))) as Reply;
  const [now, waiting, delayed, overdue, active, failedOrInDoubt, inDoubt, ids, firstDueScore] = reply;
  const since = ids.map(timeOfCallId).filter(Number.isFinite);
  // A delayed call has waited since it became due, not since it was accepted.
  if (firstDueScore !== '') since.push(dueMsOf(firstDueScore));
  const oldestMs = since.length === 0 ? null : Math.max(0, Number(now) - Math.min(...since));
  return {
    waiting,
    delayed,
    overdue,
    active,
    failed: Math.max(0, failedOrInDoubt - inDoubt),
    inDoubt,
    oldestWaitingSeconds: oldestMs === null ? null : Math.round(oldestMs / 1000),
  };
}
