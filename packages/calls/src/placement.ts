/**
 * Where a call stands in its queue, read in one atomic script: the state, the time it is due when delayed,
 * and its place in the line when waiting.
 */
import type { Queue } from 'bullmq';
import type { RedisClient } from './keys.ts';

/** Where BullMQ keeps the job. */
export type Placement = {
  readonly state: 'waiting' | 'delayed' | 'active' | 'completed' | 'failed' | 'missing';
  /** Delayed calls: when they are due, ms since 1970. */
  readonly dueMs: number | null;
  /** Waiting calls: 1 is next. Null when the line is too long to look through. */
  readonly position: number | null;
};

// Plain `wait` is served from its right end, and before the prioritized set.
const script = `
local wait, prioritized, delayed, active, completed, failed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id = ARGV[1]
if redis.call('ZSCORE', completed, id) then return {'completed', '', ''} end
if redis.call('ZSCORE', failed, id) then return {'failed', '', ''} end
local due = redis.call('ZSCORE', delayed, id)
if due then return {'delayed', due, ''} end
local rank = redis.call('ZRANK', prioritized, id)
if rank then return {'waiting', '', tostring(redis.call('LLEN', wait) + rank + 1)} end
if redis.call('LPOS', active, id) then return {'active', '', ''} end
local index = redis.call('LPOS', wait, id, 'RANK', -1, 'MAXLEN', 1000)
if index then return {'waiting', '', tostring(redis.call('LLEN', wait) - index)} end
if redis.call('EXISTS', KEYS[7]) == 1 then return {'waiting', '', ''} end
return {'missing', '', ''}
`;

// BullMQ keeps 12 bits of sequence below the due time.
const dueFactor = 0x1000;

/** Reads where the call `id` stands. */
export async function readPlacement(options: {
  redis: RedisClient;
  queue: Pick<Queue, 'toKey'>;
  id: string;
}): Promise<Placement> {
  const { redis, queue, id } = options;
  const keys = ['wait', 'prioritized', 'delayed', 'active', 'completed', 'failed', id].map((part) =>
    queue.toKey(part),
  );
  const reply = (await redis.eval(script, keys.length, ...keys, id)) as [Placement['state'], string, string];
  const [state, due, position] = reply;
  return {
    state,
    dueMs: due === '' ? null : Math.floor(Number(due) / dueFactor),
    position: position === '' ? null : Number(position),
  };
}
