/** The status the API shows, from where BullMQ keeps the job, what its envelope says and the active holds. */
import type { Envelope } from '../call/envelope.ts';
import type { Placement } from '../queue/placement.ts';

/** Every status a call can have. */
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

/** A reason why an upstream's queue must not run now. Times in ms since 1970; `until` null: no end known. */
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

/** True when nothing more will happen to the call by itself. */
export function isFinished(status: CallStatus): boolean {
  return ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'].includes(status);
}

/** The status of a call. A job that is nowhere counts as failed; callers ask for existing jobs only. */
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

/** When the call is next tried, in ms since 1970; null when it is not waiting or nobody can say. */
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

/** The last thing that happened to it was being given back, not an attempt. */
function wasHandedBack(envelope: Envelope): boolean {
  const last = envelope.history.at(-1);
  if (last?.outcome === 'snooze') return true;
  if (!envelope.handedBack) return false;
  return last === undefined || Date.parse(envelope.handedBack.at) >= Date.parse(last.at);
}

function failedStatus(envelope: Envelope): CallStatus {
  if (envelope.settled) return envelope.settled.status;
  // The worker died between the sending mark and the settling: it may have been done.
  return envelope.sending ? 'in_doubt' : 'failed';
}
