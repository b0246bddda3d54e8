/**
 * Extends BullMQ's lock and writes the job's data in one script, so that a worker that has lost its lock cannot
 * overwrite the data of another worker.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Queue } from 'bullmq';

// The same steps as BullMQ's extendLock and updateData scripts.
const script = `
local lock, stalled, job = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', lock) ~= ARGV[1] then return 0 end
redis.call('SET', lock, ARGV[1], 'PX', ARGV[2])
redis.call('SREM', stalled, ARGV[3])
if redis.call('EXISTS', job) == 0 then return -1 end
redis.call('HSET', job, 'data', ARGV[4])
return 1
`;

const commandName = 'calls:storeUnderLock';

type Command = (...args: (string | number)[]) => Promise<number>;

/**
 * Extends the lock by `lockMs` and stores `data`. Returns false and writes nothing if `token` no longer holds the lock.
 * Rejects if Redis fails or the call was removed.
 */
export async function storeUnderLock(options: {
  readonly redis: Redis;
  readonly queue: Pick<Queue, 'toKey'>;
  readonly id: string;
  readonly token: string;
  readonly lockMs: number;
  readonly data: unknown;
}): Promise<boolean> {
  const { redis, queue, id, token, lockMs, data } = options;
  const commands = redis as unknown as Record<string, Command | undefined>;
  if (!commands[commandName]) redis.defineCommand(commandName, { numberOfKeys: 3, lua: script });
  const run = (commands[commandName] as Command).bind(redis);
  const job = queue.toKey(id);
  const stored = await run(
    `${job}:lock`,
    queue.toKey('stalled'),
    job,
    token,
    lockMs,
    id,
    JSON.stringify(data),
  );
  if (stored === -1) throw new Error(`the call ${id} was removed`);
  return stored === 1;
}
