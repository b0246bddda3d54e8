/** Reads the placement of calls in their queue with one atomic script. */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

/** State of the job in BullMQ. */
export type Placement = {
  readonly state: 'waiting' | 'delayed' | 'active' | 'completed' | 'failed' | 'missing';
  /** When a delayed call is due, in ms since 1970. Null for other calls. */
  readonly dueMs: number | null;
  /** Position of a waiting call. 1 is next. Null if the queue is too long to search. */
  readonly position: number | null;
};

// BullMQ takes jobs from the right end of `wait` first, then from `prioritized`.
const script = `
local wait, prioritized, delayed, active, completed, failed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local function place(id, job)
  local rank = redis.call('ZRANK', prioritized, id)
  if rank then return {'waiting', '', tostring(redis.call('LLEN', wait) + rank + 1)} end
  if redis.call('ZSCORE', completed, id) then return {'completed', '', ''} end
  if redis.call('ZSCORE', failed, id) then return {'failed', '', ''} end
  local due = redis.call('ZSCORE', delayed, id)
  if due then return {'delayed', due, ''} end
  if redis.call('LPOS', active, id) then return {'active', '', ''} end
  local index = redis.call('LPOS', wait, id, 'RANK', -1, 'MAXLEN', 1000)
  if index then return {'waiting', '', tostring(redis.call('LLEN', wait) - index)} end
  if redis.call('EXISTS', job) == 1 then return {'waiting', '', ''} end
  return {'missing', '', ''}
end
local places = {}
for i, id in ipairs(ARGV) do places[i] = place(id, KEYS[6 + i]) end
return places
`;

/** When a delayed job is due, in ms since 1970. BullMQ's score has a 12-bit sequence number below the time. */
export function dueMsOf(score: string | number): number {
  return Math.floor(Number(score) / 0x1000);
}

/** Reads the placements of several calls atomically, in the order of `ids`. */
export async function readPlacements(options: {
  redis: Redis;
  queue: Pick<Queue, 'toKey'>;
  ids: readonly string[];
}): Promise<readonly Placement[]> {
  const { redis, queue, ids } = options;
  const parts = ['wait', 'prioritized', 'delayed', 'active', 'completed', 'failed', ...ids];
  const keys = parts.map((part) => queue.toKey(part));
  const places = await commandOf(redis)(keys.length, ...keys, ...ids);
  return places.map(([state, due, position]) => ({
    state,
    dueMs: due === '' ? null : dueMsOf(due),
    position: position === '' ? null : Number(position),
  }));
}

/** Reads the placement of one call. */
export async function readPlacement(options: {
  redis: Redis;
  queue: Pick<Queue, 'toKey'>;
  id: string;
}): Promise<Placement> {
  const { id, ...where } = options;
  const [placement] = await readPlacements({ ...where, ids: [id] });
  return placement as Placement;
}

type Command = (...args: (string | number)[]) => Promise<[Placement['state'], string, string][]>;

/** Defines the command once per connection. */
function commandOf(redis: Redis): Command {
  const commands = redis as unknown as Record<string, Command | undefined>;
  if (!commands[commandName]) redis.defineCommand(commandName, { lua: script });
  return (commands[commandName] as Command).bind(redis);
}

const commandName = 'calls:placements';
