/** One upstream as the admin app holds it: its definition and the handles to look at it and act on it. */
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

/** An upstream and its handles; made by `openUpstream`. */
export type AdminUpstream = {
  readonly definition: UpstreamDefinition;
  readonly policy: BreakerPolicy;
  readonly root: string;
  readonly queue: Queue;
  readonly holds: Holds;
  readonly breaker: FleetBreaker;
  /** What happened to it, how fast it goes, what failed last: each remembers what it read. */
  readonly transitions: TransitionLog;
  readonly rates: RateGauge;
  readonly errors: RecentErrors;
  /** Where sign-in steps are asked for; null when nobody has to type a code. */
  readonly signInQueue: Queue | null;
};

/** Opens the handles of one upstream. The queues share `redis`; close them with `closeUpstream`. */
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

/** Closes the queues; the connection they share stays open. */
export async function closeUpstream(upstream: AdminUpstream): Promise<void> {
  await Promise.all([upstream.queue.close(), upstream.signInQueue?.close()]);
}

function openQueue({ name, prefix }: { name: string; prefix: string }, connection: Redis): Queue {
  const queue = new Queue(name, { prefix, connection, skipVersionCheck: true });
  // The connection reports its own trouble; without a listener each error would end the process.
  queue.on('error', () => {});
  return queue;
}
