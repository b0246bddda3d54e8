/** What the page says about an upstream, in words. Pure functions of one upstream's part of the snapshot. */
import { ago, clock, count, duration, until } from '../format.js';
import { otherHolds, stateWord } from '../state.js';

/** Chips beside the state: every hold that is not the breaker's own. */
export function heldChips(upstream) {
  return otherHolds(upstream).map((hold) => `held: ${hold.kind}`);
}

/** One sentence on what the state means for calls. */
export function effectOf(upstream) {
  const { breaker, evidence } = upstream;
  const others = otherHolds(upstream);
  if (breaker.state === 'open') return 'Calls are kept and wait.';
  if (others.length > 0) return `Held by ${others.map((hold) => hold.kind).join(' and ')}; calls wait.`;
  if (upstream.paused && upstream.holds.length === 0) return 'The queue is paused; calls are kept and wait.';
  if (upstream.workers === 0) return 'No worker is alive; calls are kept and wait.';
  if (breaker.state === 'half_open' && evidence.probing)
    return 'A worker asks whether it works again; calls wait.';
  if (breaker.state === 'half_open') return 'A few calls go at a time, more with each success.';
  return 'Calls flow.';
}

/** Since when the breaker is in its state. */
export function sinceText({ breaker }, nowMs) {
  if (breaker.generation === 0 || breaker.since === null) return 'the start, it never opened';
  const length = duration(nowMs - Date.parse(breaker.since));
  return `${clock(breaker.since)} (${length}), generation ${breaker.generation}`;
}

/** Why: the reason of the last transition; while it is tried again also why it opened. The meter has the counts. */
export function whyText(upstream) {
  const { breaker, evidence, incidents } = upstream;
  const counts = `${breaker.consecutiveFailures} of ${evidence.failMax} failures in a row`;
  const trips = evidence.trips > 1 ? `; ${evidence.trips} trips lately` : '';
  if (breaker.state === 'closed' || breaker.reason === null) return counts + trips;
  const reason = breaker.reason.replace(/\.$/, '');
  if (breaker.state === 'open') return reason + forcedBy(upstream) + trips;
  const cause = incidents.find(({ closedAt }) => closedAt === null)?.cause.replace(/\.$/, '');
  return cause === undefined || cause === reason ? reason + trips : `${cause}${trips}. Now: ${reason}`;
}

/** Who forced it open; the hold itself knows no name. */
function forcedBy({ holds, timeline }) {
  if (!holds.some(({ kind, owner }) => kind === 'breaker' && owner === 'operator')) return '';
  const opened = timeline.find(({ kind, to }) => kind === 'breaker' && to === 'open');
  return opened?.worker ? `, forced by ${opened.worker}` : '';
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
      return `ramping, ${breaker.permits} of ${evidence.permitsTarget}; ${evidence.inFlight} in flight, ${count(evidence.successes, 'success', 'successes')} so far`;
    }
    default:
      return holds.length > 0 ? 'when the hold ends' : 'nothing to wait for';
  }
}

/** What happens if the next try fails; null while nothing is tried. */
export function ifItFailsText({ breaker, evidence }) {
  if (breaker.state === 'closed') return null;
  return `If that fails: open again for ${duration(evidence.nextOpenMs)}.`;
}

/** How many calls a hold keeps back. */
export function heldText({ held, holds }) {
  return holds.length === 0 ? 'none' : count(held, 'call');
}

/** What waits though nothing holds it; null when nothing does. */
export function inLineText({ holds, queue }) {
  return holds.length > 0 || queue.waiting === 0 ? null : ` ${queue.waiting.toLocaleString()} in line`;
}

/** How long the oldest call has waited. */
export function oldestText({ queue }) {
  return queue.oldestWaitingSeconds === null ? 'none waits' : duration(queue.oldestWaitingSeconds * 1000);
}

/** Calls in and out within a minute. */
export function rateText({ rates }) {
  const into = rates.inPerMinute === null ? '…' : rates.inPerMinute.toLocaleString();
  return `${into} in, ${rates.outPerMinute.toLocaleString()} out`;
}

/** How long what waits would take once calls flow. */
export function drainText({ breaker, rates, queue }) {
  if (queue.waiting + queue.overdue === 0) return 'nothing';
  if (breaker.state === 'half_open' || rates.drainSeconds === null) return 'not known yet';
  const [best, worst] = rates.drainSeconds.map((seconds) => duration(seconds * 1000));
  if (worst === '0 s' || worst === '1 s') return 'at most 1 s';
  return best === worst ? `about ${best}` : `${best} to ${worst}`;
}

/** The queue in numbers. */
export function queueText({ queue }) {
  const delayed =
    queue.overdue > 0 ? `${queue.delayed} delayed (${queue.overdue} due)` : `${queue.delayed} delayed`;
  const parts = [`${queue.waiting} waiting`, delayed, `${queue.active} running`, `${queue.failed} failed`];
  return [...parts, ...(queue.inDoubt > 0 ? [`${queue.inDoubt} in doubt`] : [])].join(', ');
}

/** A hold: who, why, since and until when. */
export function holdText(hold, nowMs) {
  // The breaker owns its own hold; saying so twice helps nobody.
  const who = hold.owner === hold.kind ? hold.kind : `${hold.kind}, by ${hold.owner}`;
  return `${who}: ${hold.reason.replace(/\.$/, '')}. Since ${clock(hold.since)}, ${endText(hold, nowMs)}.`;
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
  return `${worker.active} of ${worker.capacity} running, sees it ${stateWord(worker.state)}, seen ${seen}${errors}`;
}

/** Where a worker sends calls that the others do not; null when it does as they do. */
export function differsText({ differs }) {
  if (differs.length === 0) return null;
  const where = differs.map(({ variable, host, fleetHost }) =>
    host === fleetHost
      ? `${variable} has another path on ${host}`
      : `${variable} is ${host}, most workers use ${fleetHost}`,
  );
  return `Other addresses than most workers: ${where.join('; ')}.`;
}

/** What a worker saw fail. */
export function failingText({ worker, failures, lastError, at }, nowMs) {
  const when = at === null ? '' : `, ${ago(at, nowMs)}`;
  return `${worker}: ${count(failures, 'failure')}${lastError === null ? '' : `, last ${lastError}`}${when}`;
}

/** One entry of the timeline. */
export function transitionText(entry) {
  const subject = entry.hold === null ? entry.kind : `${entry.hold} hold`;
  const change =
    entry.from === null || entry.from === '' ? entry.to : `${stateWord(entry.from)} → ${stateWord(entry.to)}`;
  const who = entry.worker === null || entry.worker === '' ? '' : ` (${entry.worker})`;
  return `${subject}: ${change}${entry.reason === '' ? '' : `, ${entry.reason}`}${who}`;
}
