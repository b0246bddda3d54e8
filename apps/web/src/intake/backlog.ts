/**
 * How many calls wait, known well enough to say no in time: read at most once a second per upstream and
 * never waited for, so intake costs nothing more. It may overshoot by a second's worth of calls.
 */

import { readQueueDepth } from '@recloser/calls/queue/depth';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { BacklogGauge, WebUpstream } from '../http/web-deps.ts';

type Reading = { backlog: number; readAtMs: number };

const freshMs = 1000;

/** Starts with "not full": the first reading is under way when the first call is judged. */
export function createBacklogGauge(redis: Redis): BacklogGauge {
  const readings = new Map<string, Reading>();

  function refresh(upstream: WebUpstream, reading: Reading): void {
    reading.readAtMs = Date.now();
    readQueueDepth({ redis, queue: upstream.queue, root: upstream.root }).then(
      ({ waiting, delayed }) => {
        reading.backlog = waiting + delayed;
      },
      // Whoever stores next learns that Redis is away; here the last number stays.
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
