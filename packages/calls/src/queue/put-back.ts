/** Returns a failed job to the queue with new data, in one script. */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { deadlinesKey, inDoubtKey } from '../call/keys.ts';
import { around, bullScript, lua, scriptCommand } from './scripts.ts';

const bull = bullScript('reprocessJob');
const script = around(bull, lua('put-back'));

/** `changed`: the job is no longer failed, or its data has changed since it was read. */
export type PutBack = 'waiting' | 'changed' | 'missing';

/** Puts the job behind the other jobs of its priority. Rejects if Redis fails. */
export async function putBack(options: {
  readonly redis: Redis;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly root: string;
  readonly id: string;
  /** The stored data as text. The job is not changed if it differs. */
  readonly asRead: string;
  readonly toBe: string;
  /** The deadline to restore, in ISO 8601. */
  readonly expiresAt: string | undefined;
  readonly resetAttempts: boolean;
}): Promise<PutBack> {
  const { redis, queue, root, id, asRead, toBe, expiresAt, resetAttempts } = options;
  const run = scriptCommand<PutBack>(redis, 'calls:putBack', () => ({
    numberOfKeys: bull.keys + 2,
    lua: script,
  }));
  const parts = ['events', 'failed', 'wait', 'meta', 'active', 'marker', 'prioritized', 'pc'];
  return run(
    queue.toKey(id),
    ...parts.map((part) => queue.toKey(part)),
    inDoubtKey(root),
    deadlinesKey(root),
    // Arguments of BullMQ: id, push command, field to delete, previous state, which attempt counters to reset.
    ...[id, 'LPUSH', 'failedReason', 'failed', resetAttempts ? '1' : '0', '0'],
    asRead,
    toBe,
    expiresAt === undefined ? '' : Date.parse(expiresAt),
  );
}
