/**
 * What the whole fleet is doing, as gauges: queues, breakers, holds and workers of every upstream, read from Redis when
 * somebody scrapes. Only web exports them: there is always a web, and a worker's own view would be one of many.
 *
 * Always true: a scrape answers whatever Redis does; without Redis the gauges have no series, because an old number
 * would look like a true one. Several web processes export the same numbers: take the `max` of them.
 */
import type { BreakerState, HoldKind } from '@recloser/breaker/record';
import type { UpstreamState } from '@recloser/breaker/upstream-state';
import type { Need } from '@recloser/calls/call/need';
import type { QueueDepth } from '@recloser/calls/queue/depth';
import type { Metrics } from '@recloser/runtime/observe/metrics';
import type { RedisSafety } from '@recloser/runtime/redis/safety';

/** One upstream as it stands at a scrape. */
export type FleetReading = {
  readonly name: string;
  readonly depth: QueueDepth;
  readonly state: Pick<UpstreamState, 'breaker' | 'holds' | 'workers' | 'inFlight'>;
  /** What waiting calls need and no live worker has. */
  readonly unmet: readonly Need[];
};

export type FleetSource = {
  /** Every upstream, by Redis' clock; rejects when Redis cannot be read. */
  readonly read: () => Promise<readonly FleetReading[]>;
  readonly safety: () => Pick<RedisSafety, 'memoryUsed'>;
};

const breakerStates = ['closed', 'open', 'half_open'] as const satisfies readonly BreakerState[];
const holdKinds = ['breaker', 'operator', 'sign-in', 'rate-limit'] as const satisfies readonly HoldKind[];
const needKinds = ['operation', 'envelope', 'session-key'] as const satisfies readonly Need['kind'][];

/** Registers the gauges. Returns what sets them, to be awaited before each scrape; it never rejects. */
export function createFleetMetrics(metrics: Metrics, { read, safety }: FleetSource): () => Promise<void> {
  const redisUp = metrics.gauge({ name: 'redis_up', help: '1 while Redis answered the last scrape.' });
  const memory = metrics.gauge({
    name: 'redis_memory_used_ratio',
    help: 'Share of maxmemory in use; web takes no more calls at 0.8. No series without a maxmemory.',
    labels: [],
  });
  const gauges = createGauges(metrics);
  return async () => {
    const readings = await read().catch(() => undefined);
    redisUp.set(readings ? 1 : 0);
    const { memoryUsed } = safety();
    memory.remove();
    if (memoryUsed !== null) memory.set(memoryUsed);
    for (const gauge of Object.values(gauges)) gauge.reset();
    for (const reading of readings ?? []) show(gauges, reading);
  };
}

type Gauges = ReturnType<typeof createGauges>;

function createGauges({ gauge }: Metrics) {
  return {
    calls: gauge<'upstream' | 'state'>({
      name: 'queue_calls',
      help: 'Calls kept for an upstream, by where they are. overdue are those of delayed that are already due.',
      labels: ['upstream', 'state'],
    }),
    oldest: gauge<'upstream'>({
      name: 'queue_oldest_waiting_seconds',
      help: 'Age of the oldest call that could run now; 0 when none waits.',
      labels: ['upstream'],
    }),
    breaker: gauge<'upstream' | 'state'>({
      name: 'breaker_state',
      help: 'The fleet breaker: 1 for the state it is in, 0 for the others.',
      labels: ['upstream', 'state'],
    }),
    generation: gauge<'upstream'>({
      name: 'breaker_generation',
      help: 'Goes up by one at each transition of the breaker.',
      labels: ['upstream'],
    }),
    trips: gauge<'upstream'>({
      name: 'breaker_trips_in_row',
      help: 'Trips since the breaker was last closed and healthy for a while.',
      labels: ['upstream'],
    }),
    streak: gauge<'upstream'>({
      name: 'breaker_consecutive_failures',
      help: 'Failures in a row of all workers together.',
      labels: ['upstream'],
    }),
    permits: gauge<'upstream' | 'use'>({
      name: 'breaker_permits',
      help: 'While half-open: calls that may be in flight (allowed) and that are (in_use). 0 in other states.',
      labels: ['upstream', 'use'],
    }),
    holds: gauge<'upstream' | 'kind'>({
      name: 'hold_active',
      help: '1 while a hold of this kind keeps the queue from running. sign-in means that somebody must act.',
      labels: ['upstream', 'kind'],
    }),
    workers: gauge<'upstream' | 'state'>({
      name: 'workers',
      help: 'Living workers, by whether they take calls (taking) or were set aside (set_aside).',
      labels: ['upstream', 'state'],
    }),
    unmet: gauge<'upstream' | 'kind'>({
      name: 'unmet_needs',
      help: 'What waiting calls need and no living worker has: an operation, an envelope version or a session key.',
      labels: ['upstream', 'kind'],
    }),
  };
}

function show(gauges: Gauges, { name: upstream, depth, state, unmet }: FleetReading): void {
  const { breaker, holds, workers, inFlight } = state;
  const { waiting, delayed, overdue, active, failed, inDoubt: in_doubt } = depth;
  for (const [where, count] of Object.entries({ waiting, delayed, overdue, active, failed, in_doubt })) {
    gauges.calls.set({ upstream, state: where }, count);
  }
  gauges.oldest.set({ upstream }, depth.oldestWaitingSeconds ?? 0);
  for (const one of breakerStates) {
    gauges.breaker.set({ upstream, state: one }, one === breaker.state ? 1 : 0);
  }
  gauges.generation.set({ upstream }, breaker.generation);
  gauges.trips.set({ upstream }, breaker.trips);
  gauges.streak.set({ upstream }, breaker.consecutiveFailures);
  gauges.permits.set({ upstream, use: 'allowed' }, breaker.permits ?? 0);
  gauges.permits.set({ upstream, use: 'in_use' }, breaker.permits === null ? 0 : inFlight);
  for (const kind of holdKinds) {
    gauges.holds.set({ upstream, kind }, holds.some((hold) => hold.kind === kind) ? 1 : 0);
  }
  const aside = workers.filter(({ setAside }) => setAside).length;
  gauges.workers.set({ upstream, state: 'taking' }, workers.length - aside);
  gauges.workers.set({ upstream, state: 'set_aside' }, aside);
  for (const kind of needKinds) {
    gauges.unmet.set({ upstream, kind }, unmet.filter((need) => need.kind === kind).length);
  }
}
