/** The page of calls in doubt: asks what a person has found out, says what that will do, and sends it. */
import { postJson } from '../api.js';
import { openDialog } from '../dialog.js';
import { el } from '../dom.js';
import './times.js';

const decisions = {
  done: {
    title: 'It was done',
    says: [
      'The call is settled as succeeded. It is not sent again.',
      'Whoever waits for it gets its result, and its callback if it asked for one.',
    ],
    confirm: 'Settle as done',
    settled: 'Settled: the call has succeeded.',
  },
  resend: {
    title: 'It was not done: send it again',
    says: [
      'The call goes back into the line and is sent once more.',
      'If it was done after all, it will be done twice. Nothing can tell you but the upstream itself.',
    ],
    confirm: 'Send it again',
    isDanger: true,
    settled: 'It goes out again; its page says what becomes of it.',
  },
};

for (const card of document.querySelectorAll('[data-call]')) {
  for (const button of card.querySelectorAll('button[data-decision]')) {
    button.addEventListener('click', () => void settle(card, button.dataset.decision));
  }
}

async function settle(card, action) {
  const { settled, ...decision } = decisions[action];
  const { call, operation, needed } = card.dataset;
  const names = action === 'done' && needed !== '' ? needed.split(' ') : [];
  const answer = await openDialog({
    ...decision,
    title: `${decision.title}: ${operation}`,
    fields: names.map((name) => ({ name, label: `${name}, as the upstream shows it` })),
    send: ({ reason, given }) =>
      postJson(`/api/in-doubt/${call}`, { action, reason, ...(action === 'done' && { result: given }) }),
  });
  if (!answer) return;
  // What is settled leaves the list; its place says what came of it, and takes the focus of the button.
  const told = el('p', { class: 'notice good', role: 'status', tabindex: '-1' }, `${settled} `);
  told.append(el('a', { href: `/calls/${call}` }, 'The call'));
  card.replaceChildren(card.querySelector('h2'), told);
  card.querySelector('.tag')?.remove();
  told.focus();
}
