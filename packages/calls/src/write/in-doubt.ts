/**
 * Calls in doubt: lists them, and settles them by a person's decision. A settlement is one script that changes nothing
 * if the call has changed since it was read, so of two concurrent decisions one wins. BullMQ cannot move a job from
 * failed to completed. The script makes the same changes and events as BullMQ 6.7's `moveToFinished`.
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

/** Who settles the call and why. Stored with the call, but not returned by the API. */
export type Decision = { readonly by: string; readonly reason: string; readonly nowMs: number };

/**
 * `not_in_doubt`: the call is not, or no longer, in doubt. `changed`: another request changed it first. `unreadable`:
 * another release wrote the envelope.
 */
export type Settlement = 'settled' | 'not_in_doubt' | 'changed' | 'missing' | 'unreadable';

/** A call that has been in doubt since `sinceMs` (ms since 1970). */
export type InDoubtCall = { readonly id: string; readonly sinceMs: number; readonly call: StoredCall };

/** The oldest `limit` calls in doubt and the total number. Rejects if Redis fails. */
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

/** True if a person must settle the call. */
export function isInDoubt({ job, placement }: StoredCall): boolean {
  const parsed = parseEnvelope(job.data);
  return placement.state === 'failed' && parsed.ok && isLeftInDoubt(parsed.envelope);
}

/** Marks the call as succeeded with `result`, which must be sealed if it is personal. Works during any hold. */
export async function settleAsDone(
  target: InDoubtTarget,
  id: string,
  { result, ...decision }: Decision & { readonly result: unknown },
): Promise<Settlement> {
  const read = await readInDoubt(target, id);
  if (typeof read === 'string') return read;
  const at = new Date(decision.nowMs).toISOString();
  const attempt = entry(at, {
    outcome: 'done',
    code: 'settled_as_done',
    message: 'A person confirmed that the call was carried out.',
  });
  const value: CallReturnValue = { result, attempt };
  const envelope = decided(read.envelope, 'done', decision);
  return finish(target, id, [read.stored, JSON.stringify(envelope), JSON.stringify(value)]);
}

/** Returns the call to the queue for its next attempt, even if all attempts are used up. */
export async function resend(target: InDoubtTarget, id: string, decision: Decision): Promise<Settlement> {
  const read = await readInDoubt(target, id);
  if (typeof read === 'string') return read;
  const { nowMs } = decision;
  const at = new Date(nowMs).toISOString();
  const sentAgain = entry(at, {
    outcome: 'resent',
    code: 'resent',
    message: 'A person had the call sent again.',
  });
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
