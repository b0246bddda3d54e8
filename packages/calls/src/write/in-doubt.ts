/**
 * Calls of which nobody knows whether they were done: the work list, and how a person settles one.
 *
 * Always true: a settlement is one script, so a call is either still in doubt or settled, whatever dies; it is made
 * only of the very data that was read, so of two people who press at once one wins, and a worker that has the call
 * is never written over; `done` needs no worker and no upstream, so it works behind every hold; a resend is the same
 * call with the same count of attempts.
 *
 * BullMQ has no way from failed to completed, so the script makes the same changes as BullMQ's own `moveToFinished`
 * and `reprocessJob` (6.7), events included.
 */
import type { Queue } from 'bullmq';
import {
  appendHistory,
  type CallReturnValue,
  type Envelope,
  type HistoryEntry,
  isLeftInDoubt,
  parseEnvelope,
} from '../call/envelope.ts';
import { inDoubtKey, type RedisClient } from '../call/keys.ts';
import { readCall, type StoredCall } from '../read/view.ts';
import { renewDeadline } from './deadlines.ts';

export type InDoubtTarget = {
  readonly redis: RedisClient;
  readonly queue: Pick<Queue, 'getJob' | 'toKey'>;
  readonly root: string;
};

/** Who settles, and why: kept with the call, shown to no application. */
export type Decision = { readonly by: string; readonly reason: string; readonly nowMs: number };

/**
 * What became of it. `not_in_doubt`: it is no longer, or never was. `changed`: somebody else was faster.
 * `unreadable`: another release wrote it.
 */
export type Settlement = 'settled' | 'not_in_doubt' | 'changed' | 'missing' | 'unreadable';

/** A call in doubt and since when, in ms since 1970. */
export type InDoubtCall = { readonly id: string; readonly sinceMs: number; readonly call: StoredCall };

/** The oldest `limit` calls in doubt, and how many there are. Rejects when Redis fails. */
export async function listInDoubt(
  target: InDoubtTarget,
  limit: number,
): Promise<{ readonly total: number; readonly calls: readonly InDoubtCall[] }> {
  const { redis, root } = target;
  const key = inDoubtKey(root);
  const [total, flat] = await Promise.all([
    redis.zcard(key),
    redis.zrange(key, '0', String(limit - 1), 'WITHSCORES'),
  ]);
  const entries = flat.flatMap((id, index) =>
    index % 2 === 0 ? [{ id, sinceMs: Number(flat[index + 1]) }] : [],
  );
  const read = await Promise.all(
    entries.map(async (entry) => ({ ...entry, call: await readCall({ ...target, id: entry.id }) })),
  );
  const calls = read.flatMap(({ call, ...entry }) => (call && isInDoubt(call) ? [{ ...entry, call }] : []));
  return { total: total - (read.length - calls.length), calls };
}

/** True when a person has to settle the call. */
export function isInDoubt({ job, placement }: StoredCall): boolean {
  const parsed = parseEnvelope(job.data);
  return placement.state === 'failed' && parsed.ok && isLeftInDoubt(parsed.envelope);
}

/** Ends the call as succeeded with `result`, already sealed if it is personal. */
export async function settleAsDone(
  target: InDoubtTarget,
  id: string,
  { result, ...decision }: Decision & { readonly result: unknown },
): Promise<Settlement> {
  const read = await readInDoubt(target, id);
  if (typeof read === 'string') return read;
  const at = new Date(decision.nowMs).toISOString();
  const attempt = entry(at, { outcome: 'done', code: 'settled_as_done', message: 'A person found it done.' });
  const value: CallReturnValue = { result, attempt };
  const envelope = decided(read.envelope, 'done', decision);
  return run(target, id, ['done', read.stored, JSON.stringify(envelope), JSON.stringify(value)]);
}

/**
 * Has the call sent once more, as its next attempt: at least one, also when all were used up. A limit in the past is
 * lifted, or it would expire at once.
 */
export async function resend(target: InDoubtTarget, id: string, decision: Decision): Promise<Settlement> {
  const read = await readInDoubt(target, id);
  if (typeof read === 'string') return read;
  const { nowMs } = decision;
  const at = new Date(nowMs).toISOString();
  const sentAgain = entry(at, { outcome: 'resent', code: 'resent', message: 'A person had it sent again.' });
  const envelope = decided(read.envelope, 'resend', decision);
  const again = await renewDeadline({ ...target, id, envelope, nowMs });
  const data = { ...again, history: appendHistory(again.history, sentAgain) };
  return run(target, id, ['resend', read.stored, JSON.stringify(data), '']);
}

async function readInDoubt(
  { redis, queue, root }: InDoubtTarget,
  id: string,
): Promise<{ readonly stored: string; readonly envelope: Envelope } | Settlement> {
  const [stored, failed] = await Promise.all([
    redis.hget(queue.toKey(id), 'data'),
    redis.zscore(queue.toKey('failed'), id),
  ]);
  if (stored === null) {
    await redis.zrem(inDoubtKey(root), id);
    return 'missing';
  }
  const parsed = parseEnvelope(parseJson(stored));
  if (!parsed.ok) return 'unreadable';
  if (failed === null || !isLeftInDoubt(parsed.envelope)) return 'not_in_doubt';
  return { stored, envelope: parsed.envelope };
}

function decided(envelope: Envelope, action: 'done' | 'resend', { by, reason, nowMs }: Decision): Envelope {
  const { settled: _settled, sending: _sending, readBack: _readBack, ...rest } = envelope;
  const decidedBy = { at: new Date(nowMs).toISOString(), by, action, reason };
  const known = { ...rest, doubted: undefined, decidedBy };
  return known as Envelope;
}

function entry(
  at: string,
  { outcome, code, message }: Record<'outcome' | 'code' | 'message', string>,
): HistoryEntry {
  return { at, durationMs: 0, outcome, status: null, code, message, worker: 'admin' };
}

// ARGV: id, action, data as read, data to be, return value.
const script = `
local job, failed, inDoubt, events, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local completed, wait, active, marker, prioritized, counter = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local id, action = ARGV[1], ARGV[2]
local data = redis.call('HGET', job, 'data')
if not data then return 'missing' end
if data ~= ARGV[3] then return 'changed' end
if redis.call('ZREM', failed, id) == 0 then return 'changed' end
redis.call('ZREM', inDoubt, id)
redis.call('HSET', job, 'data', ARGV[4])
redis.call('HDEL', job, 'failedReason')
local most = redis.call('HGET', meta, 'opts.maxLenEvents') or 10000
if action == 'done' then
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('HSET', job, 'returnvalue', ARGV[5], 'finishedOn', now)
  redis.call('ZADD', completed, now, id)
  redis.call('XADD', events, 'MAXLEN', '~', most, '*', 'event', 'completed', 'jobId', id, 'returnvalue', ARGV[5],
    'prev', 'failed')
  return 'settled'
end
redis.call('HDEL', job, 'finishedOn', 'processedOn')
local priority = tonumber(redis.call('HGET', job, 'priority')) or 0
if priority == 0 then
  redis.call('LPUSH', wait, id)
else
  redis.call('ZADD', prioritized, priority * 0x100000000 + redis.call('INCR', counter) % 0x100000000, id)
end
local queue = redis.call('HMGET', meta, 'paused', 'concurrency')
local full = queue[2] and redis.call('LLEN', active) >= tonumber(queue[2])
if not queue[1] and not full then redis.call('ZADD', marker, 0, '0') end
redis.call('XADD', events, 'MAXLEN', '~', most, '*', 'event', 'waiting', 'jobId', id, 'prev', 'failed')
return 'settled'
`;

async function run(
  { redis, queue, root }: InDoubtTarget,
  id: string,
  args: readonly string[],
): Promise<Settlement> {
  const bull = ['events', 'meta', 'completed', 'wait', 'active', 'marker', 'prioritized', 'pc'];
  const keys = [
    queue.toKey(id),
    queue.toKey('failed'),
    inDoubtKey(root),
    ...bull.map((part) => queue.toKey(part)),
  ];
  return (await redis.eval(script, keys.length, ...keys, id, ...args)) as Settlement;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
