/**
 * Cancels and expires waiting calls without a worker. One script moves a call to BullMQ's failed set and writes the
 * verdict. A running call, or a call that may have been sent, is not changed. The verdict is appended to the stored
 * JSON text, because decoding and encoding it in Lua would change values.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import type { Settled } from '../call/envelope.ts';
import { deadlinesKey } from '../call/keys.ts';

/**
 * `sent`: the request may have been sent, and may still take effect even if a read-back did not find it. Only a
 * worker's final read-back or a person can end such a call.
 */
export type WaitingEnd = 'settled' | 'running' | 'sent' | 'finished' | 'missing' | 'unreadable';

export type ExpiredCall = { readonly id: string; readonly operation: string };

type Target = { readonly redis: Redis; readonly queue: Pick<Queue, 'toKey'>; readonly root: string };

/** Lua function `settle(id, verdict, reason)`. KEYS 1 to 7 are those of `keysOf`, ARGV[1] is the prefix of job keys. */
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

// A call that cannot be ended now is checked again later. A missing call may still be being stored.
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

/** Cancels a waiting call and keeps its record. `by` is the name of the API key. Rejects if Redis fails. */
export async function cancelWaiting(target: Target, id: string, by: string | undefined): Promise<WaitingEnd> {
  const message = by === undefined ? 'The call was cancelled.' : `The call was cancelled by ${by}.`;
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
 * Expires up to `limit` waiting calls that are past their `expiresAt` by Redis' clock, even while the queue is paused.
 * `more`: there may be further ones. Rejects if Redis fails.
 */
export async function expireWaiting(
  target: Target,
  limit: number,
): Promise<{ readonly expired: readonly ExpiredCall[]; readonly more: boolean }> {
  const message = 'The call was not made before its expiresAt.';
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

/** `charged`: BullMQ counts no attempt for a call that ends here, so its count needs no correction. */
function verdictOf(status: Settled['status'], code: string, message: string): string {
  return JSON.stringify({ status, code, message, charged: true } satisfies Settled);
}
