/** A BullMQ queue that fails immediately when Redis is unavailable, instead of waiting for it. */

import { queueOptions } from '@recloser/calls/call/keys';
import type { Redis } from '@recloser/runtime/redis/connection';
import { Queue } from 'bullmq';

/** Opens the queue of an upstream on a shared connection. Closing the queue leaves the connection open. */
export function openQueue(options: { redis: Redis; prefix: string; upstream: string }): Queue {
  const { name, prefix } = queueOptions(options.prefix, options.upstream);
  const queue = new Queue(name, {
    connection: options.redis,
    prefix,
    // By default BullMQ waits for the connection and checks the version once. If that check failed, the queue would
    // stay
    // unusable.
    skipWaitingForReady: true,
    skipVersionCheck: true,
  });
  // The connection logs its own errors. Without a listener, an error event would end the process.
  queue.on('error', () => undefined);
  return queue;
}
