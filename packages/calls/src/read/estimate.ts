/** The estimate of a waiting call: why it waits, what happens next, and when it is expected to finish. */
import type { Throughput } from '../queue/throughput.ts';
import type { ActiveHold, CallStatus } from './status.ts';

export type Estimate = {
  readonly reason: string;
  /** Time of the next trial of the upstream. Null unless its breaker is open. */
  readonly nextProbeAt: string | null;
  /** 1 is next. Null if the call is not in the queue. */
  readonly position: number | null;
  readonly finishBetween: readonly [string, string] | null;
};

type Facts = {
  readonly status: CallStatus;
  readonly holds: readonly ActiveHold[];
  readonly position: number | null;
  /** Earliest time of the next attempt, in ms since 1970. Null if it is unknown or now. */
  readonly nextAttemptMs: number | null;
  readonly nowMs: number;
  /** Why the call was last returned to the queue. */
  readonly handedBack?: string;
  readonly throughput?: Throughput;
};

const waiting: readonly CallStatus[] = ['scheduled', 'queued', 'deferred', 'retrying'];
/** The range allows for one failed trial, which doubles the open time, up to this limit. */
const longestSlackMs = 30 * 60 * 1000;

/** The estimate for a waiting call. Null for any other call. */
export function estimateOf(facts: Facts): Estimate | null {
  if (!waiting.includes(facts.status)) return null;
  const probe = facts.holds.find(({ kind }) => kind === 'breaker')?.until ?? null;
  return {
    reason: reasonOf(facts),
    nextProbeAt: probe === null ? null : isoTime(probe),
    position: facts.position,
    finishBetween: finishBetween(facts),
  };
}

function reasonOf({ status, holds, position, nextAttemptMs, handedBack }: Facts): string {
  if (holds.length > 0) return holds.map(holdInWords).join(' ');
  const at =
    nextAttemptMs === null ? '' : ` The next attempt is at ${isoTime(nextAttemptMs)} at the earliest.`;
  if (status === 'scheduled') return `The call is scheduled.${at}`;
  if (status === 'retrying') return `The last attempt failed.${at}`;
  if (status === 'deferred') {
    return `The call was returned to the queue without an attempt${handedBack ? ` (${handedBack})` : ''}.${at}`;
  }
  if (position === null) return 'The call is in the queue.';
  if (position === 1) return 'The call is next in the queue.';
  return position === 2 ? '1 call is ahead in the queue.' : `${position - 1} calls are ahead in the queue.`;
}

function holdInWords({ kind, reason, since, until }: ActiveHold): string {
  const end = until === null ? 'until it is released' : `until ${isoTime(until)}`;
  return `Held (${kind}) since ${isoTime(since)} ${end}: ${reason.replace(/\.$/, '')}.`;
}

function finishBetween(facts: Facts): readonly [string, string] | null {
  const { holds, nowMs, nextAttemptMs, position, throughput } = facts;
  if (!throughput || holds.some(({ until }) => until === null)) return null;
  const startMs = Math.max(nowMs, nextAttemptMs ?? nowMs);
  const ahead = position ?? 1;
  const breaker = holds.find(({ kind }) => kind === 'breaker');
  const openMs = breaker?.until ? 2 * (breaker.until - breaker.since) : 0;
  const slackMs = Math.min(longestSlackMs, Math.max(0, openMs));
  const fromMs = startMs + (ahead * 1000) / throughput.fast;
  const toMs = startMs + slackMs + ((ahead + 1) * 1000) / throughput.slow;
  return [isoTime(fromMs), isoTime(toMs)];
}

function isoTime(ms: number): string {
  return new Date(Math.ceil(ms)).toISOString();
}
