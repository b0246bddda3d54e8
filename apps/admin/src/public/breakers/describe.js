/** Texts of a card: pure functions of one upstream's part of the snapshot. */
import { ago, clock, count, duration, until } from '../format.js';
import { otherHolds, stateWord } from '../state.js';

/** Chips beside the state: every hold except the breaker's. */
export function heldChips(upstream) {
  return otherHolds(upstream).map((hold) => `held: ${hold.kind}`);
}

/** What the state means for calls, in one sentence. */
export function effectOf(upstream) {
  const { breaker, evidence } = upstream;
  const others = otherHolds(upstream);
  if (breaker.state === 'open') return 'Calls are stored and wait.';
  if (others.length > 0) return `Held by ${others.map((hold) => hold.kind).join(' and ')}; calls wait.`;
  if (upstream.paused && upstream.holds.length === 0)
    return 'The queue is paused; calls are stored and wait.';
  if (upstream.workers === 0) return 'No worker is running; calls are stored and wait.';
  if (breaker.state === 'half_open' && evidence.probing) return 'A worker probes the upstream; calls wait.';
  if (breaker.state === 'half_open')
    return 'A few calls run at once; the limit rises with each round of successes.';
  return 'Calls are made.';
}

/** When the breaker entered its state. */
export function sinceText({ breaker }, nowMs) {
  if (breaker.generation === 0 || breaker.since === null) return 'never opened';
  const length = duration(nowMs - Date.parse(breaker.since));
  return `${clock(breaker.since)} (${length}), generation ${breaker.generation}`;
}

/** Reason of the last transition. While half-open, also why the breaker opened. */
export function whyText(upstream) {
  const { breaker, evidence, incidents } = upstream;
  const counts = `${breaker.consecutiveFailures} of ${evidence.failMax} failures in a row`;
  const trips = evidence.trips > 1 ? `; ${evidence.trips} recent trips` : '';
  if (breaker.state === 'closed' || breaker.reason === null) return counts + trips;
  const reason = breaker.reason.replace(/\.$/, '');
  if (breaker.state === 'open') return reason + forcedBy(upstream) + trips;
  const cause = incidents.find(({ closedAt }) => closedAt === null)?.cause.replace(/\.$/, '');
  return cause === undefined || cause === reason ? reason + trips : `${cause}${trips}. Now: ${reason}`;
}

/** Who forced the breaker open. The hold has no name, so it is read from the timeline. */
function forcedBy({ holds, timeline }) {
  if (!holds.some(({ kind, owner }) => kind === 'breaker' && owner === 'operator')) return '';
  const opened = timeline.find(({ kind, to }) => kind === 'breaker' && to === 'open');
  return opened?.worker ? `, forced by ${opened.worker}` : '';
}

/** When the next trial starts, or how the current one goes. */
export function nextText({ breaker, evidence, workers, holds }, nowMs) {
  switch (breaker.state) {
    case 'open': {
      if (breaker.retryAt === null) return 'no time set';
      const due = Date.parse(breaker.retryAt) <= nowMs;
      if (due) return workers === 0 ? 'due, but no worker is running' : 'due: a worker is about to probe';
      return `${until(breaker.retryAt, nowMs)} (${clock(breaker.retryAt)})`;
    }
    case 'half_open': {
      const where = evidence.trialWorker === null ? '' : ` on ${evidence.trialWorker}`;
      if (evidence.probing) return `probe running${where}`;
      return `ramping, ${breaker.permits} of ${evidence.permitsTarget}; ${evidence.inFlight} in flight, ${count(evidence.successes, 'success', 'successes')} so far`;
    }
    default:
      return holds.length > 0 ? 'none; calls run when the hold ends' : 'none';
  }
}

/** What happens if the trial fails; null while the breaker is closed. */
export function ifItFailsText({ breaker, evidence }) {
  if (breaker.state === 'closed') return null;
  return `If it fails, the breaker stays open for ${duration(evidence.nextOpenMs)}.`;
}

/** How many calls the holds keep waiting. */
export function heldText({ held, holds }) {
  return holds.length === 0 ? 'none' : count(held, 'call');
}

/** How many calls wait without a hold; null when none does. */
export function waitingText({ holds, queue }) {
  return holds.length > 0 || queue.waiting === 0 ? null : ` ${queue.waiting.toLocaleString()} waiting`;
}

/** How long the oldest call has waited. */
export function oldestText({ queue }) {
  return queue.oldestWaitingSeconds === null ? 'none' : duration(queue.oldestWaitingSeconds * 1000);
}

/** Calls accepted and finished per minute. */
export function rateText({ rates }) {
  const into = rates.inPerMinute === null ? '…' : rates.inPerMinute.toLocaleString();
  return `${into} in, ${rates.outPerMinute.toLocaleString()} out`;
}

/** How long the backlog takes at the current rate. */
export function drainText({ breaker, rates, queue }) {
  if (queue.waiting + queue.overdue === 0) return 'no backlog';
  if (breaker.state === 'half_open' || rates.drainSeconds === null) return 'not known yet';
  const [best, worst] = rates.drainSeconds.map((seconds) => duration(seconds * 1000));
  if (worst === '0 s' || worst === '1 s') return 'at most 1 s';
  return best === worst ? `about ${best}` : `${best} to ${worst}`;
}

/** The number of calls in each state. */
export function queueText({ queue }) {
  const delayed =
    queue.overdue > 0 ? `${queue.delayed} delayed (${queue.overdue} due)` : `${queue.delayed} delayed`;
  const parts = [`${queue.waiting} waiting`, delayed, `${queue.active} running`, `${queue.failed} failed`];
  return [...parts, ...(queue.inDoubt > 0 ? [`${queue.inDoubt} in doubt`] : [])].join(', ');
}

/** A hold: kind, owner, reason, start and end. */
export function holdText(hold, nowMs) {
  const who = hold.owner === hold.kind ? hold.kind : `${hold.kind}, by ${hold.owner}`;
  return `${who}: ${hold.reason.replace(/\.$/, '')}. Since ${clock(hold.since)}, ${endText(hold, nowMs)}.`;
}

function endText(hold, nowMs) {
  if (hold.until === null) return 'until released';
  if (Date.parse(hold.until) <= nowMs) return `was due to end at ${clock(hold.until)}`;
  return `ends ${until(hold.until, nowMs)} (${clock(hold.until)})`;
}

/** A worker: load, its view of the breaker, heartbeat, errors. */
export function workerText(worker, nowMs) {
  const seen = ago(worker.seenAt, nowMs);
  const errors =
    worker.failures > 0
      ? `, ${count(worker.failures, 'failure')}${worker.lastError ? `, last ${worker.lastError}` : ''}`
      : '';
  return `${worker.active} of ${worker.capacity} running, sees the breaker ${stateWord(worker.state)}, last seen ${seen}${errors}`;
}

/** The addresses of a worker that differ from those of most workers; null when none does. */
export function differsText({ differs }) {
  if (differs.length === 0) return null;
  const where = differs.map(({ variable, host, fleetHost }) =>
    host === fleetHost
      ? `${variable} has another path on ${host}`
      : `${variable} is ${host}, most workers use ${fleetHost}`,
  );
  return `Other addresses than most workers: ${where.join('; ')}.`;
}

/** Failures that a worker saw. */
export function failingText({ worker, failures, lastError, at }, nowMs) {
  const when = at === null ? '' : `, ${ago(at, nowMs)}`;
  return `${worker}: ${count(failures, 'failure')}${lastError === null ? '' : `, last ${lastError}`}${when}`;
}

/** One transition. */
export function transitionText(entry) {
  const subject = entry.hold === null ? entry.kind : `${entry.hold} hold`;
  const change =
    entry.from === null || entry.from === '' ? entry.to : `${stateWord(entry.from)} → ${stateWord(entry.to)}`;
  const who = entry.worker === null || entry.worker === '' ? '' : ` (${entry.worker})`;
  return `${subject}: ${change}${entry.reason === '' ? '' : `, ${entry.reason}`}${who}`;
}
