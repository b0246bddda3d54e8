/**
 * What to tell somebody whose call waits: why, what happens next, and between which times it may be finished.
 * A range, never a promise; null where nobody can know, as behind a hold without an end.
 */

import type { Throughput } from '../queue/throughput.ts';
import type { ActiveHold, CallStatus } from './status.ts';

export type Estimate = {
  readonly reason: string;
  /** When the upstream is tried again, if its breaker is open. */
  readonly nextProbeAt: string | null;
  /** 1 is next; null while the call is not in the line. */
  readonly position: number | null;
  readonly finishBetween: readonly [string, string] | null;
};

type Facts = {
  readonly status: CallStatus;
  readonly holds: readonly ActiveHold[];
  readonly position: number | null;
  /** When it may be taken at the earliest, ms since 1970; null when nobody can say or it could be now. */
  readonly nextAttemptMs: number | null;
  readonly nowMs: number;
  /** Why it was given back last, if it was. */
  readonly handedBack?: string;
  readonly throughput?: Throughput;
};

const waiting: readonly CallStatus[] = ['scheduled', 'queued', 'deferred', 'retrying'];
/** A trial that fails doubles the open time; one such failure is allowed for, up to this. */
const longestSlackMs = 30 * 60 * 1000;

/** The estimate for a waiting call; null for any other. */
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
  const at = nextAttemptMs === null ? '' : ` It may go at ${isoTime(nextAttemptMs)}.`;
  if (status === 'scheduled') return `It is scheduled.${at}`;
  if (status === 'retrying') return `The last attempt failed.${at}`;
  if (status === 'deferred') {
    return `It was given back without an attempt${handedBack ? ` (${handedBack})` : ''}.${at}`;
  }
  if (position === null) return 'It waits in line.';
  return position === 1 ? 'It is next in line.' : `It waits in line behind ${position - 1}.`;
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
