/**
 * Checks the state of each upstream in Redis: workers, breaker, holds, queue, and calls in doubt. Reads only. A queue
 * that is paused without a hold, or has calls but no worker, is a failure.
 */
import { agreementOf } from '@recloser/admin/breakers/agreement';
import { readUpstreamState, type UpstreamState } from '@recloser/breaker/upstream-state';
import { upstreamRoot } from '@recloser/calls/call/keys';
import { type QueueDepth, readQueueDepth } from '@recloser/calls/queue/depth';
import type { Redis } from '@recloser/runtime/redis/connection';
import { openQueue } from '@recloser/web/upstreams/open-queue';
import { type Finding, fail, ok, warn } from './finding.ts';

type Seen = {
  readonly upstream: string;
  readonly state: UpstreamState;
  readonly paused: boolean;
  readonly depth: QueueDepth;
};

/** Rejects if Redis does not answer. */
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
  const start = 'run npm run worker; check its log if it exits';
  if (workers.length === 0 && open > 0)
    return fail(
      upstream,
      `no worker is running, and ${open} ${open === 1 ? 'call waits' : 'calls wait'}`,
      start,
    );
  if (workers.length === 0) return warn(upstream, 'no worker is running; no call waits', start);
  const alive = `${workers.length} ${workers.length === 1 ? 'worker is' : 'workers are'} running`;
  if (aside === 0) return ok(upstream, alive);
  return warn(
    upstream,
    `${alive}, ${aside} of them set aside: only ${aside === 1 ? 'this worker' : 'these workers'} cannot reach the upstream`,
    'check the network of that machine; the worker resumes automatically',
  );
}

function checkAgreement({ upstream, state, paused }: Seen): Finding[] {
  const { mismatches } = agreementOf({ ...state, paused });
  if (mismatches.length === 0)
    return [
      ok(upstream, `breaker ${state.breaker.state}, queue ${paused ? 'paused' : 'running'}, consistent`),
    ];
  // Workers repair a mismatch. Without a worker it stays.
  const tell = state.workers.length === 0 ? fail : warn;
  return mismatches.map(({ what, fix }) => tell(upstream, what, fix));
}

function checkHolds({ upstream, state: { holds } }: Seen): Finding[] {
  return holds.map(({ kind, reason, until }) => {
    const end = until === null ? 'until it is released' : `until ${new Date(until).toISOString()}`;
    return warn(upstream, `held (${kind}) ${end}: ${reason}`, adviceForHold(kind, upstream));
  });
}

function adviceForHold(kind: string, upstream: string): string {
  switch (kind) {
    case 'operator':
      return 'release it on /breakers when the maintenance is over';
    case 'sign-in':
      return `sign in at /sign-in/${upstream}, or fix the credentials and restart a worker`;
    default:
      return 'no action needed: it ends automatically, and waiting costs no attempt';
  }
}

function checkWork({ upstream, depth }: Seen): Finding[] {
  const { waiting, delayed, active, failed, inDoubt, oldestWaitingSeconds } = depth;
  const oldest = oldestWaitingSeconds === null ? '' : `, the oldest for ${oldestWaitingSeconds} s`;
  const counts = `${waiting} waiting${oldest}, ${delayed} delayed, ${active} running, ${failed} failed`;
  if (inDoubt === 0) return [ok(upstream, counts)];
  const advice = 'check the upstream, then settle each call at /in-doubt (docs/in-doubt.md)';
  const waits = inDoubt === 1 ? 'call in doubt waits' : 'calls in doubt wait';
  return [ok(upstream, counts), warn(upstream, `${inDoubt} ${waits} for a person`, advice)];
}
