/** The page /in-doubt: describes the effect of a decision, asks for a reason and sends both. */
import { postJson } from '../api.js';
import { openDialog } from '../dialog.js';
import { el } from '../dom.js';
import './times.js';

const decisions = {
  done: {
    title: 'It was done',
    says: [
      'The call is settled as succeeded. It is not sent again.',
      'Waiting clients get its result. Its callback is sent if it has one.',
    ],
    confirm: 'Settle as done',
    settled: 'Settled: the call succeeded.',
  },
  resend: {
    title: 'It was not done: send it again',
    says: [
      'The call returns to the queue and is sent once more.',
      'If it was done after all, it will be done twice. Check in the upstream first.',
    ],
    confirm: 'Send it again',
    isDanger: true,
    settled: 'The call is sent again. Its page shows the result.',
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
  // The confirmation replaces the card and takes the focus that the removed button had.
  const told = el('p', { class: 'notice good', role: 'status', tabindex: '-1' }, `${settled} `);
  told.append(el('a', { href: `/calls/${call}` }, 'Open the call'));
  card.replaceChildren(card.querySelector('h2'), told);
  card.querySelector('.tag')?.remove();
  told.focus();
}
