/** A BullMQ queue that answers or fails at once, never waits for Redis to come back. */

import { queueOptions } from '@recloser/calls/call/keys';
import type { Redis } from '@recloser/runtime/redis/connection';
import { Queue } from 'bullmq';

/** Opens the queue of an upstream over a shared connection, which stays open when the queue is closed. */
export function openQueue(options: { redis: Redis; prefix: string; upstream: string }): Queue {
  const { name, prefix } = queueOptions(options.prefix, options.upstream);
  const queue = new Queue(name, {
    connection: options.redis,
    prefix,
    // By default BullMQ waits for the connection, then asks for the version once; were that one question to
    // fail, the queue would stay unusable for good.
    skipWaitingForReady: true,
    skipVersionCheck: true,
  });
  // The connection reports its own trouble; without a listener each error would end the process.
  queue.on('error', () => undefined);
  return queue;
}
