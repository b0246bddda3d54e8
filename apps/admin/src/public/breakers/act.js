/** Action buttons of a card. Each opens a dialog that describes the effect before the action is sent. */
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
 * `why(upstream)`: why the action is disabled, or null. `says(upstream)`: its effect, one sentence per item.
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
      'No call is started until the hold ends. Running calls finish.',
      `New calls are accepted and stored. ${heldWords(upstream)} would wait now.`,
      'Waiting uses no attempts. The hold ends at the time you choose or when an operator releases it. It replaces an earlier operator hold.',
    ],
  },
  {
    name: 'release',
    label: 'Release',
    title: 'Release the operator hold',
    why: (upstream) => (hasHold(upstream) ? null : 'No operator hold is active.'),
    says: (upstream) => {
      const left = upstream.holds.filter(({ kind }) => kind !== 'operator').map(({ kind }) => kind);
      return left.length > 0
        ? [`Only the operator hold ends. The queue stays held by ${left.join(' and ')}.`]
        : [`The queue resumes at once. ${heldWords(upstream)} will run as fast as the workers take them.`];
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
          ? 'The breaker is closed.'
          : 'A trial is running.',
    says: ({ evidence }) => [
      'A worker probes the upstream now instead of at the end of the countdown.',
      'If the probe succeeds, calls resume in a ramp that starts with one call at a time.',
      `If the probe fails, the breaker stays open for ${duration(evidence.nextOpenMs)}.`,
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
          ? 'The breaker is closed.'
          : 'A trial is running.',
    says: (upstream) => [
      'A worker probes the upstream, then the ramp starts. Calls never go from none to all at once.',
      `${heldWords(upstream)} will run as the ramp rises to ${upstream.evidence.permitsTarget} at once.`,
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
      'No call is started until the time you choose, even if the upstream works. Running calls finish.',
      'Then a worker probes the upstream and calls resume in a ramp.',
      'Until then, calls submitted with ifOpen "reject" get 503.',
    ],
  },
  {
    name: 'close-full',
    label: 'Close fully',
    title: 'Close fully, without a probe',
    isDanger: true,
    role: 'admin',
    why: ({ breaker }) => (breaker.state === 'closed' ? 'The breaker is closed.' : null),
    says: (upstream) => {
      const others = otherHolds(upstream).map(({ kind }) => kind);
      return [
        `No probe and no ramp: up to ${upstream.evidence.permitsTarget} calls run at once immediately.`,
        `${heldWords(upstream)} will run at full speed. This can overload an upstream that is still recovering.`,
        ...(others.length > 0 ? [`The queue stays held by ${others.join(' and ')}.`] : []),
      ];
    },
  },
];

/** How long a confirmation stays visible. */
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
        const why = isStale ? 'The data is out of date. Wait until the page is live again.' : action.why(now);
        // A disabled button loses the focus. The focused one stays enabled; the server refuses what is not possible.
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
  setText(answer, `Done: ${action.title.toLowerCase()}. Recorded in the audit log.`);
  clearTimeout(fading.get(answer));
  fading.set(
    answer,
    setTimeout(() => setText(answer, ''), shownMs),
  );
}
