/** The operator's form on a card: hold or release the queue, with a reason. */
import { postJson } from './api.js';
import { el, setText } from './dom.js';

const lengths = [
  ['60', 'for 1 hour'],
  ['240', 'for 4 hours'],
  ['1440', 'for 1 day'],
  ['', 'until released'],
];

/** Makes the form for one upstream. */
export function actionForm(name) {
  const answer = el('p', { class: 'answer', role: 'status' });
  const reason = el('input', { name: 'reason', required: true, maxlength: '500', autocomplete: 'off' });
  const length = el(
    'select',
    { name: 'length' },
    lengths.map(([value, text]) => el('option', { value }, text)),
  );
  const form = el(
    'form',
    {},
    el('label', {}, 'Reason', reason),
    el('label', {}, 'Hold', length),
    el(
      'div',
      { class: 'buttons' },
      el('button', { type: 'submit', name: 'action', value: 'hold' }, 'Hold the queue'),
      el('button', { type: 'submit', name: 'action', value: 'release', class: 'quiet' }, 'Release the hold'),
    ),
    answer,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void send(name, event.submitter?.value ?? 'hold', { reason, length, answer });
  });
  return el('details', { class: 'act' }, el('summary', {}, 'Hold or release the queue'), form);
}

async function send(name, action, { reason, length, answer }) {
  const until =
    action === 'hold' && length.value !== ''
      ? new Date(Date.now() + Number(length.value) * 60_000).toISOString()
      : undefined;
  const result = await postJson(`/api/upstreams/${name}/actions`, { action, reason: reason.value, until });
  setText(answer, result.ok ? (action === 'hold' ? 'Held.' : 'Released.') : result.detail);
  if (result.ok) reason.value = '';
}
