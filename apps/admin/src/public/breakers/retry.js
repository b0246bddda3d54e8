/** Retries failed calls in batches: choose, count, set the rate, start, watch, stop. */
import { postJson } from '../api.js';
import { openDialog } from '../dialog.js';
import { el, rebuild, setText } from '../dom.js';
import { count, duration } from '../format.js';

const rates = [
  ['6', '6 per minute'],
  ['30', '30 per minute'],
  ['60', '60 per minute'],
  ['300', '300 per minute'],
  ['1200', '1,200 per minute'],
];

/** The panel of one card. Hidden when there are no failed calls and no recorded run. */
export function retryPanel(name) {
  const operation = el('select', { name: 'operation' });
  const code = el('select', { name: 'code' });
  const rate = el(
    'select',
    { name: 'rate' },
    rates.map(([value, text]) => el('option', { value, selected: value === '60' }, text)),
  );
  const counted = el('p', { class: 'counted', role: 'status' });
  const begin = el('button', { type: 'button', disabled: true }, 'Start…');
  const form = el(
    'div',
    { class: 'retry-form' },
    el('label', {}, 'Operation', operation),
    el('label', {}, 'Error', code),
    el('label', {}, 'Rate', rate),
    el('div', { class: 'buttons' }, begin),
    counted,
  );
  const summary = el('summary');
  const details = el('details', { class: 'retry' }, summary, form);
  const stop = el('button', { type: 'button', class: 'quiet' }, 'Stop…');
  // Only the text above the button is rebuilt, so that the button keeps the focus.
  const told = el('div');
  const progress = el('div', { class: 'retry-run', tabindex: '-1', hidden: true }, told, stop);
  const panel = { name, operation, code, rate, counted, begin, title: name, found: 0, run: null };
  stop.addEventListener('click', () => void stopRun(panel));
  details.addEventListener('toggle', () => details.open && void look(panel, true));
  for (const field of [operation, code]) field.addEventListener('change', () => void look(panel, false));
  begin.addEventListener('click', () => void start(panel));
  return {
    element: el('div', { class: 'retry-box' }, progress, details),
    update: (upstream, isStale) =>
      update({ panel, details, summary, form, progress, told, stop }, upstream, isStale),
  };
}

function update({ panel, details, summary, form, progress, told, stop }, upstream, isStale) {
  const { retryRun: run, queue } = upstream;
  panel.title = upstream.title;
  const isGoing = run !== null && (run.state === 'running' || run.state === 'waiting');
  details.hidden = isGoing || (queue.failed === 0 && !details.open);
  setText(summary, `Retry failed calls: ${queue.failed.toLocaleString()}`);
  form.inert = isStale;
  panel.run = run;
  progress.hidden = run === null;
  if (!isGoing && document.activeElement === stop) progress.focus();
  stop.hidden = !isGoing;
  stop.disabled = isStale;
  rebuild(told, run, () => (run === null ? [] : runText(run, isGoing)));
}

function runText(run, isGoing) {
  const over = run.done + run.skipped;
  const leftMs = ((run.total - over) * 60_000) / run.perMinute;
  const words = {
    running: `Retrying failed calls: ${over} of ${run.total}, about ${duration(leftMs)} left`,
    waiting: `Retry run paused at ${over} of ${run.total}: ${run.note}`,
    finished: `Last retry run: ${count(run.done, 'call')} retried`,
    stopped: `Last retry run, ${run.note}: ${run.done} of ${run.total} retried`,
  };
  const skipped = run.skipped > 0 ? `; ${run.skipped} skipped` : '';
  return [
    el('p', {}, `${words[run.state]}${skipped}. `, el('small', {}, `${run.by}: ${run.reason}`)),
    isGoing ? el('progress', { max: run.total, value: over, 'aria-label': 'Calls retried' }) : null,
  ];
}

async function stopRun({ name, title, run }) {
  await openDialog({
    title: `Stop the retry run: ${title}`,
    says: [
      `${run.done} of ${run.total} calls are retried already. Stopping does not undo that.`,
      'The others stay failed. A new run can retry them.',
    ],
    confirm: 'Stop the run',
    send: ({ reason }) => postJson(`/api/upstreams/${name}/retries/stop`, { reason }),
  });
}

function filterOf({ operation, code }) {
  return { operation: operation.value || undefined, code: code.value || undefined };
}

/** Counts the calls that match. The first time, also fills the choices. */
async function look(panel, isFirst) {
  setText(panel.counted, 'Counting…');
  panel.begin.disabled = true;
  const filter = isFirst ? {} : filterOf(panel);
  const answer = await postJson(`/api/upstreams/${panel.name}/retries/count`, { filter });
  if (!answer.ok) return setText(panel.counted, answer.detail);
  const { count: found, byCode, byOperation, isComplete } = answer.body;
  if (isFirst) {
    choices(panel.operation, byOperation);
    choices(panel.code, byCode);
  }
  panel.found = found;
  panel.begin.disabled = found === 0;
  const more = isComplete ? '' : ' (of the newest 10,000; start another run for the rest)';
  setText(
    panel.counted,
    `${count(found, 'call')} would be retried${more}. Calls in doubt are never included.`,
  );
}

function choices(select, counts) {
  const all = Object.entries(counts).sort(([, a], [, b]) => b - a);
  select.replaceChildren(
    el('option', { value: '' }, 'all'),
    ...all.map(([value, n]) => el('option', { value }, `${value} (${n})`)),
  );
}

async function start(panel) {
  const perMinute = Number(panel.rate.value);
  const takes = duration((panel.found * 60_000) / perMinute);
  const answer = await openDialog({
    title: `Retry failed calls: ${panel.title}`,
    says: [
      `${count(panel.found, 'failed call')} will be retried at ${perMinute.toLocaleString()} per minute. This takes about ${takes}.`,
      'Each call gets all its attempts again and keeps its history.',
      'The run pauses while a hold is active or the breaker is not closed, and continues automatically.',
    ],
    confirm: 'Start the run',
    send: ({ reason }) =>
      postJson(`/api/upstreams/${panel.name}/retries`, { filter: filterOf(panel), perMinute, reason }),
  });
  if (answer !== null) panel.counted.closest('details').open = false;
}
