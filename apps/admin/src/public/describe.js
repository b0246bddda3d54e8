/** What the page says about an upstream, in words. Pure functions of one upstream's part of the snapshot. */
import { ago, clock, count, duration, until } from './format.js';

const words = { closed: 'closed', open: 'open', half_open: 'half-open' };

/** State as word and kind; the kind picks colour and shape. */
export function stateOf(upstream, isStale) {
  const { breaker, evidence } = upstream;
  if (isStale) return { kind: 'stale', word: `stale (was ${words[breaker.state]})` };
  if (breaker.state === 'half_open') {
    const ramp = evidence.probing ? 'probing' : `${breaker.permits} of ${evidence.permitsTarget}`;
    return { kind: 'half-open', word: `half-open, ${ramp}` };
  }
  return { kind: breaker.state, word: words[breaker.state] };
}

/** Chips beside the state: every hold that is not the breaker's own. */
export function heldChips({ holds }) {
  return holds.filter((hold) => hold.kind !== 'breaker').map((hold) => `held: ${hold.kind}`);
}

/** One sentence on what the state means for calls. */
export function effectOf(upstream) {
  const { breaker, holds } = upstream;
  const others = holds.filter((hold) => hold.kind !== 'breaker');
  if (breaker.state === 'open') return 'Calls are kept and wait.';
  if (others.length > 0)
    return `Held by ${others.map((hold) => hold.kind).join(' and ')}; calls are kept and wait.`;
  if (upstream.workers === 0) return 'No worker is alive; calls are kept and wait.';
  if (breaker.state === 'half_open') return 'A few calls go at a time, more with each success.';
  return 'Calls flow.';
}

/** Since when the breaker is in its state. */
export function sinceText({ breaker }, nowMs) {
  if (breaker.generation === 0 || breaker.since === null) return 'the start, it never opened';
  const length = duration(nowMs - Date.parse(breaker.since));
  return `${clock(breaker.since)} (${length}), generation ${breaker.generation}`;
}

/** Why: the reason of the last transition, and the count beside its threshold. */
export function whyText({ breaker, evidence }) {
  const counts = `${breaker.consecutiveFailures} of ${evidence.failMax} failures in a row`;
  const trips = evidence.trips > 1 ? `, ${evidence.trips} trips in a row` : '';
  if (breaker.state === 'closed' || breaker.reason === null) return counts + trips;
  return `${breaker.reason.replace(/\.$/, '')} (${counts}${trips})`;
}

/** What comes next. */
export function nextText({ breaker, evidence, workers, holds }, nowMs) {
  switch (breaker.state) {
    case 'open': {
      if (breaker.retryAt === null) return 'no time is set';
      const due = Date.parse(breaker.retryAt) <= nowMs;
      if (due) return workers === 0 ? 'due, but no worker is alive' : 'due: a worker is about to try';
      return `${until(breaker.retryAt, nowMs)} (${clock(breaker.retryAt)})`;
    }
    case 'half_open': {
      const where = evidence.trialWorker === null ? '' : ` on ${evidence.trialWorker}`;
      if (evidence.probing) return `probe running${where}`;
      return `ramping, ${breaker.permits} of ${evidence.permitsTarget}; ${count(evidence.successes, 'success', 'successes')} so far${where}`;
    }
    default:
      return holds.length > 0 ? 'when the hold ends' : 'nothing to wait for';
  }
}

/** How many calls a hold keeps back. */
export function heldText({ held, holds, queue }) {
  if (holds.length === 0)
    return queue.waiting === 0 ? 'none' : `none (${queue.waiting.toLocaleString()} waiting for a worker)`;
  return count(held, 'call');
}

/** How long the oldest call has waited. */
export function oldestText({ queue }) {
  return queue.oldestWaitingSeconds === null ? 'none waits' : duration(queue.oldestWaitingSeconds * 1000);
}

/** The queue in numbers. */
export function queueText({ queue }) {
  const delayed =
    queue.overdue > 0 ? `${queue.delayed} delayed (${queue.overdue} due)` : `${queue.delayed} delayed`;
  const parts = [`${queue.waiting} waiting`, delayed, `${queue.active} running`, `${queue.failed} failed`];
  return [...parts, ...(queue.inDoubt > 0 ? [`${queue.inDoubt} in doubt`] : [])].join(', ');
}

/** A mismatch between the holds and BullMQ's own flag, or null. */
export function mismatchOf({ paused, holds }) {
  if (paused && holds.length === 0)
    return 'The queue is paused though no hold says why; a worker lifts that within seconds.';
  if (!paused && holds.length > 0)
    return 'A hold is active but the queue runs; a worker pauses it within seconds.';
  return null;
}

/** A hold: who, why, since and until when. */
export function holdText(hold, nowMs) {
  return `${hold.kind}, by ${hold.owner}: ${hold.reason}. Since ${clock(hold.since)}, ${endText(hold, nowMs)}.`;
}

function endText(hold, nowMs) {
  if (hold.until === null) return 'until released';
  if (Date.parse(hold.until) <= nowMs) return `due to end since ${clock(hold.until)}`;
  return `ends ${until(hold.until, nowMs)} (${clock(hold.until)})`;
}

/** A worker: load, its own view of the breaker, heartbeat, errors. */
export function workerText(worker, nowMs) {
  const seen = ago(worker.seenAt, nowMs);
  const errors =
    worker.failures > 0
      ? `, ${count(worker.failures, 'failure')}${worker.lastError ? `, last ${worker.lastError}` : ''}`
      : '';
  const aside = worker.setAside ? ', set aside' : '';
  return `${worker.id}: ${worker.active} of ${worker.capacity} running, sees it ${words[worker.state] ?? worker.state}, seen ${seen}${errors}${aside}`;
}

/** One entry of the timeline. */
export function transitionText(entry) {
  const subject = entry.hold === null ? entry.kind : `${entry.hold} hold`;
  const change =
    entry.from === null || entry.from === ''
      ? entry.to
      : `${words[entry.from] ?? entry.from} → ${words[entry.to] ?? entry.to}`;
  const who = entry.worker === null || entry.worker === '' ? '' : ` (${entry.worker})`;
  return `${subject}: ${change}${entry.reason === '' ? '' : `, ${entry.reason}`}${who}`;
}
