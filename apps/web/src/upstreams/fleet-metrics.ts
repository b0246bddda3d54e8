/**
 * Gauges of the whole fleet: queues, breakers, holds and workers of every upstream, read from Redis at each scrape.
 * Every web process exports the same values, so aggregate them with `max`. If Redis fails, the gauges have no series,
 * because an outdated value would be misleading.
 */
import type { BreakerState, HoldKind } from '@recloser/breaker/record';
import type { UpstreamState } from '@recloser/breaker/upstream-state';
import type { Need } from '@recloser/calls/call/need';
import type { QueueDepth } from '@recloser/calls/queue/depth';
import type { Metrics } from '@recloser/runtime/observe/metrics';
import type { RedisSafety } from '@recloser/runtime/redis/safety';

/** The state of one upstream at a scrape. */
export type FleetReading = {
  readonly name: string;
  readonly depth: QueueDepth;
  readonly state: Pick<UpstreamState, 'breaker' | 'holds' | 'workers' | 'inFlight'>;
  /** Needs of waiting calls that no live worker meets. */
  readonly unmet: readonly Need[];
};

export type FleetSource = {
  /** Reads every upstream. Rejects if Redis fails. */
  readonly read: () => Promise<readonly FleetReading[]>;
  readonly safety: () => Pick<RedisSafety, 'memoryUsed'>;
};

const breakerStates = ['closed', 'open', 'half_open'] as const satisfies readonly BreakerState[];
const holdKinds = ['breaker', 'operator', 'sign-in', 'rate-limit'] as const satisfies readonly HoldKind[];
const needKinds = ['operation', 'envelope', 'session-key'] as const satisfies readonly Need['kind'][];

/** Registers the gauges. Await the returned function before each scrape to update them. It never rejects. */
export function createFleetMetrics(metrics: Metrics, { read, safety }: FleetSource): () => Promise<void> {
  const redisUp = metrics.gauge({
    name: 'redis_up',
    help: '1 if Redis answered the last scrape, otherwise 0.',
  });
  const memory = metrics.gauge({
    name: 'redis_memory_used_ratio',
    help: 'Share of maxmemory in use. Web refuses calls from 0.8. No series without maxmemory.',
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
      help: 'Calls of an upstream by state. overdue counts the delayed calls that are due.',
      labels: ['upstream', 'state'],
    }),
    oldest: gauge<'upstream'>({
      name: 'queue_oldest_waiting_seconds',
      help: 'Age of the oldest call that could run now. 0 if none is waiting.',
      labels: ['upstream'],
    }),
    breaker: gauge<'upstream' | 'state'>({
      name: 'breaker_state',
      help: 'State of the breaker: 1 for the current state, 0 for the others.',
      labels: ['upstream', 'state'],
    }),
    generation: gauge<'upstream'>({
      name: 'breaker_generation',
      help: 'Generation of the breaker. Rises by one with each transition.',
      labels: ['upstream'],
    }),
    trips: gauge<'upstream'>({
      name: 'breaker_trips_in_row',
      help: 'Trips since the breaker was last closed long enough to count as healthy.',
      labels: ['upstream'],
    }),
    streak: gauge<'upstream'>({
      name: 'breaker_consecutive_failures',
      help: 'Consecutive failures across all workers.',
      labels: ['upstream'],
    }),
    permits: gauge<'upstream' | 'use'>({
      name: 'breaker_permits',
      help: 'Permits while half-open: allowed and in_use. 0 in other states.',
      labels: ['upstream', 'use'],
    }),
    holds: gauge<'upstream' | 'kind'>({
      name: 'hold_active',
      help: '1 while a hold of this kind is active. A sign-in hold requires a person to sign in.',
      labels: ['upstream', 'kind'],
    }),
    workers: gauge<'upstream' | 'state'>({
      name: 'workers',
      help: 'Live workers: taking calls, or set_aside because only their own calls were failing.',
      labels: ['upstream', 'state'],
    }),
    unmet: gauge<'upstream' | 'kind'>({
      name: 'unmet_needs',
      help: 'Operations, envelope versions and session keys that waiting calls need and no live worker has.',
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
