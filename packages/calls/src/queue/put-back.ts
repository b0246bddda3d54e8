/** Makes a failed job wait again, in one script: it is either still failed or waiting with its new data. */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';
import { deadlinesKey, inDoubtKey } from '../call/keys.ts';
import { around, bullScript, lua, scriptCommand } from './scripts.ts';

const bull = bullScript('reprocessJob');
const script = around(bull, lua('put-back'));

/** `changed`: it is not failed any more, or its data is not what was read. */
export type PutBack = 'waiting' | 'changed' | 'missing';

/** Puts the job at the end of the line of its priority. Rejects when Redis fails. */
export async function putBack(options: {
  readonly redis: Redis;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly root: string;
  readonly id: string;
  /** The stored data, as text, that this is decided on. */
  readonly asRead: string;
  readonly toBe: string;
  /** ISO 8601: the limit that holds again from now on. */
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
    // BullMQ's: id, how to add it, what to delete, the state before, which counts of attempts to reset.
    ...[id, 'LPUSH', 'failedReason', 'failed', resetAttempts ? '1' : '0', '0'],
    asRead,
    toBe,
    expiresAt === undefined ? '' : Date.parse(expiresAt),
  );
}
