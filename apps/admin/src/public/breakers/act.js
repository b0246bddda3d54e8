/** What an operator may do to an upstream: buttons on the card, and one dialog that says what will happen. */
import { postJson } from '../api.js';
import { openDialog } from '../dialog.js';
import { el, setText } from '../dom.js';
import { count, duration } from '../format.js';
import { otherHolds } from '../state.js';

const holdLengths = [
  ['15', '15 minutes'],
  ['60', '1 hour'],
  ['240', '4 hours'],
  ['1440', '1 day'],
];
const hasHold = (upstream) => upstream.holds.some(({ kind }) => kind === 'operator');
const isAdmin = () => document.body.dataset.role === 'admin';
const heldWords = ({ queue }) => count(queue.waiting + queue.overdue, 'call');

/**
 * `why(upstream)`: why it would do nothing now, or null. `says(upstream)`: what will happen, a list of sentences.
 */
const actions = [
  {
    name: 'hold',
    label: 'Hold',
    title: 'Hold the queue',
    lengths: holdLengths,
    endless: isAdmin,
    why: () => null,
    says: (upstream) => [
      'No further call is made until the hold ends; calls that run now finish.',
      `New calls are still accepted and kept. ${heldWords(upstream)} would wait now.`,
      'Waiting costs no attempt. Only the time you choose or a release ends it; it replaces an earlier hold of an operator.',
    ],
  },
  {
    name: 'release',
    label: 'Release',
    title: "Release the operator's hold",
    why: (upstream) => (hasHold(upstream) ? null : 'No operator holds the queue.'),
    says: (upstream) => {
      const left = upstream.holds.filter(({ kind }) => kind !== 'operator').map(({ kind }) => kind);
      return left.length > 0
        ? [`Only the operator's hold goes. It stays held by ${left.join(' and ')}.`]
        : [`The queue runs again at once: ${heldWords(upstream)} may go, as fast as the workers take them.`];
    },
  },
  {
    name: 'probe',
    label: 'Probe now',
    title: 'Probe now',
    why: ({ breaker }) =>
      breaker.state === 'open'
        ? null
        : breaker.state === 'closed'
          ? 'It is closed: every call is a probe.'
          : 'It is being tried now.',
    says: ({ evidence }) => [
      'A worker tries the upstream now instead of waiting for the countdown.',
      'If that works, calls come back in a ramp, one at a time to begin with.',
      `If it fails, the breaker stays open for ${duration(evidence.nextOpenMs)}.`,
    ],
  },
  {
    name: 'close',
    label: 'Close',
    title: 'Close with a probe and a ramp',
    why: ({ breaker }) =>
      breaker.state === 'open'
        ? null
        : breaker.state === 'closed'
          ? 'It is closed.'
          : 'It is on its way to closed.',
    says: (upstream) => [
      'Closing is a probe and then the ramp: never from nothing to everything.',
      `${heldWords(upstream)} follow as the ramp widens to ${upstream.evidence.permitsTarget} at once.`,
      `If the probe fails, the breaker stays open for ${duration(upstream.evidence.nextOpenMs)}.`,
    ],
  },
  {
    name: 'open',
    label: 'Force open',
    title: 'Force the breaker open',
    lengths: holdLengths,
    isDanger: true,
    why: () => null,
    says: () => [
      'No call is made until the time you choose, whatever the upstream is like; calls that run now finish.',
      'After that a worker tries it, and calls come back in a ramp.',
      'Callers that asked for an answer at once are refused meanwhile (503).',
    ],
  },
  {
    name: 'close-full',
    label: 'Close fully',
    title: 'Close fully, without a probe',
    isDanger: true,
    role: 'admin',
    why: ({ breaker }) => (breaker.state === 'closed' ? 'It is closed.' : null),
    says: (upstream) => {
      const others = otherHolds(upstream).map(({ kind }) => kind);
      return [
        `No probe and no ramp: up to ${upstream.evidence.permitsTarget} calls at once from the first moment.`,
        `${heldWords(upstream)} would go at full speed. An upstream that is still weak will fall over again.`,
        ...(others.length > 0 ? [`It stays held by ${others.join(' and ')}.`] : []),
      ];
    },
  },
];

/** So long an answer stays; after that it would be taken for something that happened just now. */
const shownMs = 20_000;
const fading = new WeakMap();

/** The buttons of one card. */
export function actionBar(name) {
  const answer = el('p', { class: 'answer', role: 'status' });
  let upstream = null;
  const buttons = actions
    .filter(({ role }) => role === undefined || isAdmin())
    .map((action) => {
      const button = el(
        'button',
        {
          type: 'button',
          class: 'quiet',
          'data-action': action.name,
          'aria-describedby': `card-${name}`,
          disabled: true,
        },
        `${action.label}…`,
      );
      button.addEventListener('click', () => void start(name, action, upstream, answer));
      return { action, button };
    });
  return {
    element: el(
      'div',
      { class: 'act' },
      el(
        'div',
        { class: 'buttons' },
        buttons.map(({ button }) => button),
      ),
      answer,
    ),
    update: (now, isStale) => {
      upstream = now;
      for (const { action, button } of buttons) {
        const why = isStale ? 'The picture is old; wait until it is live again.' : action.why(now);
        // A button that has the focus keeps it: the answer of the server says why it did nothing.
        if (document.activeElement !== button) button.disabled = why !== null;
        button.title = why ?? '';
      }
    },
  };
}

async function start(name, action, upstream, answer) {
  const done = await openDialog({
    title: `${action.title}: ${upstream.title}`,
    says: action.says(upstream),
    lengths: action.lengths,
    endless: action.endless?.() ?? false,
    confirm: action.title,
    isDanger: action.isDanger,
    send: ({ reason, until }) =>
      postJson(`/api/upstreams/${name}/actions`, { action: action.name, reason, until }),
  });
  if (!done) return;
  setText(answer, `Done: ${action.title.toLowerCase()}. It is in the audit log.`);
  clearTimeout(fading.get(answer));
  fading.set(
    answer,
    setTimeout(() => setText(answer, ''), shownMs),
  );
}
