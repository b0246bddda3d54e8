/**
 * The backlog of each upstream, refreshed in the background at most once a second. Intake never waits for it, so the
 * limit may be exceeded by the calls of one second.
 */

import { readQueueDepth } from '@recloser/calls/queue/depth';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { BacklogGauge, WebUpstream } from '../http/web-deps.ts';

type Reading = { backlog: number; readAtMs: number };

const freshMs = 1000;

/** Until the first reading arrives, the backlog counts as empty. */
export function createBacklogGauge(redis: Redis): BacklogGauge {
  const readings = new Map<string, Reading>();

  function refresh(upstream: WebUpstream, reading: Reading): void {
    reading.readAtMs = Date.now();
    readQueueDepth({ redis, queue: upstream.queue, root: upstream.root }).then(
      ({ waiting, delayed }) => {
        reading.backlog = waiting + delayed;
      },
      // Storing the call reports a failure of Redis. Keep the last number.
      () => undefined,
    );
  }

  return {
    isFull(upstream, count = 1) {
      const reading = readings.get(upstream.name) ?? { backlog: 0, readAtMs: 0 };
      readings.set(upstream.name, reading);
      if (Date.now() - reading.readAtMs >= freshMs) refresh(upstream, reading);
      return reading.backlog + count > upstream.maxBacklog;
    },
  };
}
