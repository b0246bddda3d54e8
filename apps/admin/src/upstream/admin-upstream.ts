/** One upstream in the admin app: its definition, queues, holds, breaker and caches. */
import type { FleetBreaker } from '@recloser/breaker/fleet-breaker';
import { FleetBreaker as Breaker } from '@recloser/breaker/fleet-breaker';
import { Holds } from '@recloser/breaker/holds';
import { queueOptions, upstreamRoot } from '@recloser/calls/call/keys';
import { signInQueueOptions } from '@recloser/calls/sign-in/queue';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { BreakerPolicy, UpstreamDefinition } from '@recloser/upstreams/contract/upstream';
import { Queue } from 'bullmq';
import { RateGauge } from './rate-gauge.ts';
import { RecentErrors } from './recent-errors.ts';
import { TransitionLog } from './transition-log.ts';

/** An upstream, opened with `openUpstream`. */
export type AdminUpstream = {
  readonly definition: UpstreamDefinition;
  readonly policy: BreakerPolicy;
  readonly root: string;
  readonly queue: Queue;
  readonly holds: Holds;
  readonly breaker: FleetBreaker;
  /** Each of these caches what it has read. */
  readonly transitions: TransitionLog;
  readonly rates: RateGauge;
  readonly errors: RecentErrors;
  /** Null when no person has to enter a code. */
  readonly signInQueue: Queue | null;
};

/** Opens one upstream. Its queues share `redis`. Close them with `closeUpstream`. */
export function openUpstream(options: {
  definition: UpstreamDefinition;
  policy: BreakerPolicy;
  redis: Redis;
  prefix: string;
}): AdminUpstream {
  const { definition, policy, redis, prefix } = options;
  const root = upstreamRoot(prefix, definition.name);
  const queue = openQueue(queueOptions(prefix, definition.name), redis);
  const signInQueue =
    definition.signIn === 'text-message'
      ? openQueue(signInQueueOptions(prefix, definition.name), redis)
      : null;
  const holds = new Holds({ redis, root, queue });
  const breaker = new Breaker({ redis, root, policy });
  const transitions = new TransitionLog({ redis, root });
  const rates = new RateGauge({ redis, queue });
  const errors = new RecentErrors({ redis, queue });
  return { definition, policy, root, queue, holds, breaker, transitions, rates, errors, signInQueue };
}

/** Closes the queues. The shared connection stays open. */
export async function closeUpstream(upstream: AdminUpstream): Promise<void> {
  await Promise.all([upstream.queue.close(), upstream.signInQueue?.close()]);
}

function openQueue({ name, prefix }: { name: string; prefix: string }, connection: Redis): Queue {
  const queue = new Queue(name, { prefix, connection, skipVersionCheck: true });
  // The connection logs its errors. Without this listener an error would end the process.
  queue.on('error', () => {});
  return queue;
}
