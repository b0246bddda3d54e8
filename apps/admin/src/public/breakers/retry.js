/** Failed calls put back in doses: choose, count, set the pace, start, watch, stop. */
import { postJson } from '../api.js';
import { openDialog } from '../dialog.js';
import { el, rebuild, setText } from '../dom.js';
import { count, duration } from '../format.js';

const paces = [
  ['6', '6 a minute'],
  ['30', '30 a minute'],
  ['60', '60 a minute'],
  ['300', '300 a minute'],
  ['1200', '1,200 a minute'],
];

/** The panel of one card; hidden while nothing has failed and no run is on record. */
export function retryPanel(name) {
  const operation = el('select', { name: 'operation' });
  const code = el('select', { name: 'code' });
  const pace = el(
    'select',
    { name: 'pace' },
    paces.map(([value, text]) => el('option', { value, selected: value === '60' }, text)),
  );
  const counted = el('p', { class: 'counted', role: 'status' });
  const begin = el('button', { type: 'button', disabled: true }, 'Start…');
  const form = el(
    'div',
    { class: 'retry-form' },
    el('label', {}, 'Operation', operation),
    el('label', {}, 'Error', code),
    el('label', {}, 'Pace', pace),
    el('div', { class: 'buttons' }, begin),
    counted,
  );
  const summary = el('summary');
  const details = el('details', { class: 'retry' }, summary, form);
  const stop = el('button', { type: 'button', class: 'quiet' }, 'Stop…');
  // The button stays while what stands above it counts, so that it keeps the focus.
  const told = el('div');
  const progress = el('div', { class: 'retry-run', tabindex: '-1', hidden: true }, told, stop);
  const panel = { name, operation, code, pace, counted, begin, title: name, found: 0, run: null };
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
    waiting: `Retry waits at ${over} of ${run.total}: ${run.note}`,
    finished: `Last retry run: ${count(run.done, 'call')} put back`,
    stopped: `Last retry run, ${run.note}: ${run.done} of ${run.total} put back`,
  };
  const skipped = run.skipped > 0 ? `; ${run.skipped} passed over` : '';
  return [
    el('p', {}, `${words[run.state]}${skipped}. `, el('small', {}, `${run.by}: ${run.reason}`)),
    isGoing ? el('progress', { max: run.total, value: over, 'aria-label': 'Retried so far' }) : null,
  ];
}

async function stopRun({ name, title, run }) {
  await openDialog({
    title: `Stop the retry run: ${title}`,
    says: [
      `${run.done} of ${run.total} calls are back and stay so.`,
      'The others stay failed; a new run can take them.',
    ],
    confirm: 'Stop the run',
    send: ({ reason }) => postJson(`/api/upstreams/${name}/retries/stop`, { reason }),
  });
}

function filterOf({ operation, code }) {
  return { operation: operation.value || undefined, code: code.value || undefined };
}

/** Counts what the filter means; the choices are what there is. */
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
  const more = isComplete ? '' : ' among the newest 10,000; start again for the rest';
  setText(
    panel.counted,
    `${count(found, 'call')} would be put back${more}. Calls in doubt are never among them.`,
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
  const perMinute = Number(panel.pace.value);
  const takes = duration((panel.found * 60_000) / perMinute);
  const answer = await openDialog({
    title: `Retry failed calls: ${panel.title}`,
    says: [
      `${count(panel.found, 'failed call')} go back into the line, ${perMinute.toLocaleString()} a minute: about ${takes}.`,
      'Each starts with all its attempts again. Its history stays.',
      'While a hold is active or the breaker is not closed the run waits, and goes on by itself.',
    ],
    confirm: 'Start the run',
    send: ({ reason }) =>
      postJson(`/api/upstreams/${panel.name}/retries`, { filter: filterOf(panel), perMinute, reason }),
  });
  if (answer !== null) panel.counted.closest('details').open = false;
}
