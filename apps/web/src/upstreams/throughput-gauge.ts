/** The throughput of each upstream, measured on demand and cached for two seconds. */

import { readThroughput, type Throughput } from '@recloser/calls/queue/throughput';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { ThroughputGauge } from '../http/web-deps.ts';

type Reading = { readonly atMs: number; readonly measured: Promise<Throughput | undefined> };

const freshMs = 2000;
export function createThroughputGauge(redis: Redis): ThroughputGauge {
  const readings = new Map<string, Reading>();
  return {
    read({ name, queue }) {
      const last = readings.get(name);
      if (last && Date.now() - last.atMs < freshMs) return last.measured;
      const measured = readThroughput({ redis, queue }).catch(() => undefined);
      readings.set(name, { atMs: Date.now(), measured });
      return measured;
    },
  };
}
