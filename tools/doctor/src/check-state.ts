/**
 * What Redis says about each upstream: workers, breaker, holds, the queue's pause, and what waits for a person.
 *
 * Always true: changes nothing; a queue that stands still without a reason, or with nobody to work on it, fails.
 */
import { agreementOf } from '@recloser/admin/breakers/agreement';
import { readUpstreamState, type UpstreamState } from '@recloser/breaker/upstream-state';
import { upstreamRoot } from '@recloser/calls/call/keys';
import { type QueueDepth, readQueueDepth } from '@recloser/calls/queue/depth';
import type { Redis } from '@recloser/runtime/redis/connection';
import { openQueue } from '@recloser/web/upstreams/open-queue';
import { type Finding, fail, ok, warn } from './finding.ts';

/** One upstream at one instant. */
type Seen = {
  readonly upstream: string;
  readonly state: UpstreamState;
  readonly paused: boolean;
  readonly depth: QueueDepth;
};

/** Reads and judges the upstreams. Rejects when Redis does not answer. */
export async function checkState(
  redis: Redis,
  prefix: string,
  upstreams: readonly string[],
): Promise<Finding[]> {
  const seen = await Promise.all(upstreams.map((upstream) => look(redis, prefix, upstream)));
  return seen.flatMap((one) => [
    checkWorkers(one),
    ...checkAgreement(one),
    ...checkHolds(one),
    ...checkWork(one),
  ]);
}

async function look(redis: Redis, prefix: string, upstream: string): Promise<Seen> {
  const root = upstreamRoot(prefix, upstream);
  const queue = openQueue({ redis, prefix, upstream });
  try {
    const [state, paused, depth] = await Promise.all([
      readUpstreamState({ redis, root }),
      queue.isPaused(),
      readQueueDepth({ redis, queue, root }),
    ]);
    return { upstream, state, paused, depth };
  } finally {
    await queue.close();
  }
}

function checkWorkers({ upstream, state: { workers }, depth }: Seen): Finding {
  const aside = workers.filter(({ setAside }) => setAside).length;
  const open = depth.waiting + depth.delayed + depth.active;
  const start = 'start one: npm run worker; see its log if it does not stay';
  if (workers.length === 0 && open > 0)
    return fail(upstream, `no worker is alive, and ${open} calls wait`, start);
  if (workers.length === 0) return warn(upstream, 'no worker is alive; nothing waits', start);
  const alive = `${workers.length} ${workers.length === 1 ? 'worker is' : 'workers are'} alive`;
  if (aside === 0) return ok(upstream, alive);
  return warn(
    upstream,
    `${alive}, ${aside} set aside: it alone cannot reach the upstream`,
    "look at that machine's network; it comes back by itself",
  );
}

function checkAgreement({ upstream, state, paused }: Seen): Finding[] {
  const { mismatches } = agreementOf({ ...state, paused });
  if (mismatches.length === 0)
    return [
      ok(upstream, `breaker ${state.breaker.state}, queue ${paused ? 'paused' : 'running'}: they agree`),
    ];
  // Without a worker nobody mends it.
  const tell = state.workers.length === 0 ? fail : warn;
  return mismatches.map(({ what, fix }) => tell(upstream, what, fix));
}

function checkHolds({ upstream, state: { holds } }: Seen): Finding[] {
  return holds.map(({ kind, reason, until }) => {
    const end = until === null ? 'until somebody releases it' : `until ${new Date(until).toISOString()}`;
    return warn(upstream, `held (${kind}) ${end}: ${reason}`, adviceForHold(kind, upstream));
  });
}

function adviceForHold(kind: string, upstream: string): string {
  switch (kind) {
    case 'operator':
      return 'release it on /breakers when the work is done';
    case 'sign-in':
      return `sign in at /sign-in/${upstream}, or mend the credentials and restart a worker`;
    default:
      return 'nothing: it ends by itself, calls wait free of charge';
  }
}

function checkWork({ upstream, depth }: Seen): Finding[] {
  const { waiting, delayed, active, failed, inDoubt, oldestWaitingSeconds } = depth;
  const oldest = oldestWaitingSeconds === null ? '' : `, the oldest for ${oldestWaitingSeconds} s`;
  const counts = `${waiting} waiting${oldest}, ${delayed} delayed, ${active} running, ${failed} failed`;
  if (inDoubt === 0) return [ok(upstream, counts)];
  const advice = 'look at the upstream, then settle each at /in-doubt (docs/in-doubt.md)';
  return [ok(upstream, counts), warn(upstream, `${inDoubt} writes in doubt wait for a person`, advice)];
}
