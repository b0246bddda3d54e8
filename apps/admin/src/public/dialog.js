/** The dialog of every action: its effect, a reason and, for some, a duration or other fields. */
import { el } from './dom.js';

/**
 * Opens the dialog. Resolves to the server's answer, or to null when the person cancels.
 * `send({reason, until, given})` resolves to `{ok, detail}`. If it is refused, the dialog stays and shows why.
 */
export function openDialog({ title, says, lengths, endless, fields = [], confirm, isDanger, send }) {
  const reason = el('input', {
    name: 'reason',
    required: true,
    maxlength: '500',
    autocomplete: 'off',
    'aria-describedby': 'dialog-says',
  });
  const length = lengths === undefined ? null : lengthField(lengths, endless);
  const asked = fields.map(({ name, label }) => ({ name, label, input: textField(name) }));
  const wrong = el('p', { class: 'notice bad', role: 'alert', hidden: true });
  const submit = el('button', { type: 'submit', class: isDanger ? 'danger' : null }, confirm);
  const cancel = el('button', { type: 'button', class: 'quiet' }, 'Cancel');
  const form = el(
    'form',
    { method: 'dialog' },
    el('h2', { id: 'dialog-title' }, title),
    el(
      'div',
      { id: 'dialog-says' },
      el('h3', {}, 'What will happen'),
      el(
        'ul',
        {},
        says.map((text) => el('li', {}, text)),
      ),
    ),
    length === null ? null : el('label', {}, 'Duration', length),
    asked.map(({ label, input }) => el('label', {}, label, input)),
    el('label', {}, 'Reason (visible to everyone)', reason),
    wrong,
    el('div', { class: 'buttons' }, submit, cancel),
  );
  const dialog = el('dialog', { class: 'dialog', 'aria-labelledby': 'dialog-title' }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let result = null;
    cancel.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(result);
    });
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      submit.disabled = true;
      const given = Object.fromEntries(asked.map(({ name, input }) => [name, input.value.trim()]));
      const answer = await send({ reason: reason.value, until: untilOf(length), given });
      submit.disabled = false;
      if (answer.ok) {
        result = answer;
        dialog.close();
        return;
      }
      wrong.hidden = false;
      wrong.textContent = answer.detail;
    });
    dialog.showModal();
    (asked[0]?.input ?? reason).focus();
  });
}

function textField(name) {
  return el('input', { name, required: true, maxlength: '100', autocomplete: 'off', spellcheck: 'false' });
}

function lengthField(lengths, endless) {
  const all = endless ? [...lengths, ['', 'until released']] : lengths;
  return el(
    'select',
    { name: 'length' },
    all.map(([value, text]) => el('option', { value, selected: value === '60' }, text)),
  );
}

function untilOf(length) {
  if (length === null || length.value === '') return undefined;
  return new Date(Date.now() + Number(length.value) * 60_000).toISOString();
}
