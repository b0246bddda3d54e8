/** Derives the status of a call from its placement, its envelope and the active holds. */
import type { Envelope } from '../call/envelope.ts';
import type { Placement } from '../queue/placement.ts';

export const callStatuses = [
  'scheduled',
  'queued',
  'deferred',
  'running',
  'retrying',
  'succeeded',
  'failed',
  'expired',
  'cancelled',
  'in_doubt',
] as const;

export type CallStatus = (typeof callStatuses)[number];

/** An active hold. Times are in ms since 1970. `until` is null if no end is known. */
export type ActiveHold = {
  readonly kind: string;
  readonly owner: string;
  readonly reason: string;
  readonly since: number;
  readonly until: number | null;
};

type StatusInput = {
  readonly envelope: Envelope;
  readonly placement: Placement;
  readonly attemptsMade: number;
  readonly holds: readonly ActiveHold[];
  readonly nowMs: number;
};

/** True if the status does not change without a person. */
export function isFinished(status: CallStatus): boolean {
  return ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'].includes(status);
}

/** The status of a call. The job must exist: a missing job counts as failed. */
export function callStatus(input: StatusInput): CallStatus {
  switch (input.placement.state) {
    case 'active':
      return 'running';
    case 'completed':
      return 'succeeded';
    case 'waiting':
      return input.holds.length > 0 ? 'deferred' : 'queued';
    case 'delayed':
      return delayedStatus(input);
    case 'failed':
    case 'missing':
      return failedStatus(input.envelope);
    default:
      return input.placement.state satisfies never;
  }
}

/** Earliest time of the next attempt, in ms since 1970. Null if the call is not waiting or the time is unknown. */
export function nextAttemptMs(input: StatusInput): number | null {
  const { placement, holds } = input;
  if (placement.state !== 'delayed' && placement.state !== 'waiting') return null;
  const times = holds.map((hold) => hold.until);
  if (placement.dueMs !== null) times.push(placement.dueMs);
  if (times.length === 0) return null;
  return times.reduce(
    (latest, time) => (latest === null || time === null ? null : Math.max(latest, time)),
    0,
  );
}

function delayedStatus({ envelope, placement, attemptsMade, holds, nowMs }: StatusInput): CallStatus {
  const dueMs = placement.dueMs ?? nowMs;
  const untouched = attemptsMade === 0 && envelope.history.length === 0 && envelope.deferrals === 0;
  const runAt = envelope.options.runAt;
  if (untouched && runAt !== undefined && Date.parse(runAt) > nowMs) return 'scheduled';
  const outlasts = holds.some((hold) => hold.until === null || hold.until > dueMs);
  if (outlasts || wasHandedBack(envelope)) return 'deferred';
  if (attemptsMade > 0) return 'retrying';
  return untouched ? 'queued' : 'deferred';
}

/** True if the call was returned to the queue after its last attempt. */
function wasHandedBack(envelope: Envelope): boolean {
  const last = envelope.history.at(-1);
  if (last?.outcome === 'snooze') return true;
  if (!envelope.handedBack) return false;
  return last === undefined || Date.parse(envelope.handedBack.at) >= Date.parse(last.at);
}

function failedStatus(envelope: Envelope): CallStatus {
  if (envelope.settled) return envelope.settled.status;
  // The worker died between sending and settling.
  return envelope.sending ? 'in_doubt' : 'failed';
}
