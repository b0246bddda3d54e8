/**
 * Ends calls that wait, without a worker and without an attempt: cancelled by a person, or expired while an
 * upstream is down.
 *
 * Always true: one script moves a call from where it waits to BullMQ's failed set and writes the verdict, so it
 * is either still waiting or settled; a call that runs, or that was sent and is not proven, is left alone; the
 * verdict is added to the stored text, nothing in it is read and written anew.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import type { Settled } from '../call/envelope.ts';
import { deadlinesKey } from '../call/keys.ts';

/**
 * What became of a call: `sent` means the request may have left (also when it was not found since: a late write may
 * still land), so that only a worker's last look or a person may end it.
 */
export type WaitingEnd = 'settled' | 'running' | 'sent' | 'finished' | 'missing' | 'unreadable';

export type ExpiredCall = { readonly id: string; readonly operation: string };

type Target = { readonly redis: Redis; readonly queue: Pick<Queue, 'toKey'>; readonly root: string };

/** Lua: `settle(id, verdict, reason)`; KEYS 1-7 as in `keysOf`, ARGV[1] the start of a job's key, ARGV[2] its end. */
const settleLua = `
local wait, prioritized, delayed, completed, failed, events, meta =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local function settle(id, verdict, reason)
  local key = ARGV[1] .. id
  local stored = redis.call('HMGET', key, 'data', 'stc', 'name')
  local data = stored[1]
  if not data then return 'missing' end
  if redis.call('ZSCORE', completed, id) or redis.call('ZSCORE', failed, id) then return 'finished' end
  if string.find(data, '"sending":{', 1, true) or string.find(data, '"doubted":{', 1, true) then return 'sent' end
  if string.sub(data, -1) ~= '}' then return 'unreadable' end
  local from
  if redis.call('ZREM', prioritized, id) == 1 then from = 'prioritized'
  elseif redis.call('ZREM', delayed, id) == 1 then from = 'delayed'
  elseif redis.call('LREM', wait, 1, id) == 1 then from = 'waiting'
  else return 'running' end
  local settled = string.sub(verdict, 1, -2) .. ',"stalls":' .. (stored[2] or '0') .. '}'
  redis.call('HSET', key, 'data', string.sub(data, 1, -2) .. ',"settled":' .. settled .. '}',
    'failedReason', reason, 'finishedOn', string.format('%.0f', nowMs))
  redis.call('ZADD', failed, string.format('%.0f', nowMs), id)
  redis.call('XADD', events, 'MAXLEN', '~', redis.call('HGET', meta, 'opts.maxLenEvents') or 10000, '*',
    'event', 'failed', 'jobId', id, 'failedReason', reason, 'prev', from)
  return 'settled', stored[3]
end
`;

const cancelScript = `${settleLua}
return (settle(ARGV[2], ARGV[3], ARGV[4]))
`;

// A call that cannot be ended now is looked at again a little later; one just being stored may not be there yet.
const expireScript = `${settleLua}
local deadlines = KEYS[8]
local due = redis.call('ZRANGEBYSCORE', deadlines, '-inf', string.format('%.0f', nowMs), 'LIMIT', 0, tonumber(ARGV[4]))
local expired = {}
for _, id in ipairs(due) do
  local ended, name = settle(id, ARGV[2], ARGV[3])
  local madeMs = tonumber((string.gsub(string.sub(id, -36, -24), '-', '')), 16) or 0
  local young = ended == 'missing' and nowMs - madeMs < 60000
  if ended == 'settled' then
    expired[#expired + 1] = id
    expired[#expired + 1] = name or ''
  end
  if ended == 'running' or ended == 'sent' or young then
    redis.call('ZADD', deadlines, string.format('%.0f', nowMs + 5000), id)
  else
    redis.call('ZREM', deadlines, id)
  end
end
return {#due, expired}
`;

/** Cancels a waiting call; it is kept as a record. `by` names who, for the record. */
export async function cancelWaiting(target: Target, id: string, by: string | undefined): Promise<WaitingEnd> {
  const message = by === undefined ? 'It was cancelled.' : `It was cancelled by ${by}.`;
  const verdict = verdictOf('cancelled', 'cancelled', message);
  const keys = keysOf(target);
  return (await target.redis.eval(
    cancelScript,
    keys.length,
    ...keys,
    target.queue.toKey(''),
    id,
    verdict,
    `cancelled: ${message}`,
  )) as WaitingEnd;
}

/**
 * Settles waiting calls that are past their `expiresAt`, by Redis' clock, at most `limit` of them, whether or not
 * the queue is paused. `more`: there may be others.
 */
export async function expireWaiting(
  target: Target,
  limit: number,
): Promise<{ readonly expired: readonly ExpiredCall[]; readonly more: boolean }> {
  const message = 'It was not made before its expiresAt.';
  const keys = [...keysOf(target), deadlinesKey(target.root)];
  const [looked, flat] = (await target.redis.eval(
    expireScript,
    keys.length,
    ...keys,
    target.queue.toKey(''),
    verdictOf('expired', 'expired', message),
    `expired: ${message}`,
    limit,
  )) as [number, string[]];
  const expired: ExpiredCall[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    expired.push({ id: flat[i] as string, operation: flat[i + 1] as string });
  }
  return { expired, more: looked >= limit };
}

function keysOf({ queue }: Target): string[] {
  return ['wait', 'prioritized', 'delayed', 'completed', 'failed', 'events', 'meta'].map((part) =>
    queue.toKey(part),
  );
}

/** BullMQ counts no attempt for a call that ends here, so its count is right as it stands: `charged`. */
function verdictOf(status: Settled['status'], code: string, message: string): string {
  return JSON.stringify({ status, code, message, charged: true } satisfies Settled);
}
