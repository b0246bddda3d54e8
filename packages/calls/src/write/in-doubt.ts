/**
 * Calls of which nobody knows whether they were done: the work list, and how a person settles one.
 *
 * Always true: a settlement is one script, so a call is either still in doubt or settled, whatever dies; it is made
 * only of the very data that was read, so of two people who press at once one wins, and a worker that has the call
 * is never written over; `done` needs no worker and no upstream, so it works behind every hold; a resend is the same
 * call with the same count of attempts.
 *
 * BullMQ has no way from failed to completed, so the script makes the same changes as BullMQ's own `moveToFinished`
 * (6.7), events included.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import {
  appendHistory,
  type CallReturnValue,
  type Envelope,
  type HistoryEntry,
  isLeftInDoubt,
  parseEnvelope,
} from '../call/envelope.ts';
import { inDoubtKey } from '../call/keys.ts';
import { lua, scriptCommand } from '../queue/scripts.ts';
import { readCall, type StoredCall } from '../read/view.ts';
import { type EndedCall, readEnded, tryAgain } from './retry-call.ts';

export type InDoubtTarget = {
  readonly redis: Redis;
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
  return finish(target, id, [read.stored, JSON.stringify(envelope), JSON.stringify(value)]);
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
  const again = { ...envelope, history: appendHistory(envelope.history, sentAgain) };
  const back = await tryAgain(target, { id, ...read, again, nowMs, resetAttempts: false });
  return back === 'waiting' ? 'settled' : back;
}

async function readInDoubt(target: InDoubtTarget, id: string): Promise<EndedCall | Settlement> {
  const read = await readEnded(target, id);
  if (read === 'missing') await target.redis.zrem(inDoubtKey(target.root), id);
  if (read === 'missing' || read === 'unreadable') return read;
  if (typeof read === 'string' || !isLeftInDoubt(read.envelope)) return 'not_in_doubt';
  return read;
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

async function finish(
  { redis, queue, root }: InDoubtTarget,
  id: string,
  args: readonly string[],
): Promise<Settlement> {
  const run = scriptCommand<Settlement>(redis, 'calls:settleAsDone', () => ({
    numberOfKeys: 6,
    lua: lua('settle-as-done'),
  }));
  const parts = ['failed', 'completed', 'events', 'meta'];
  return run(queue.toKey(id), inDoubtKey(root), ...parts.map((part) => queue.toKey(part)), id, ...args);
}
