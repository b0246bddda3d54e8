/** Lists, notices and meters of a card. Each is rebuilt only when its content changes. */

import { el, rebuild, setText } from '../dom.js';
import { clock, duration, exact } from '../format.js';
import * as say from './describe.js';

/** The state as a shape and a word. */
export function badge() {
  const word = el('span', { class: 'word' });
  const element = el('span', { class: 'badge' }, el('span', { class: 'shape', 'aria-hidden': 'true' }), word);
  return { element, show: (text) => setText(word, text) };
}

/** A `<details>` element whose summary can change. */
export function fold(kind, title = '') {
  const summary = el('summary', {}, title);
  const list = el('ul', { class: `plain ${kind}` });
  return { element: el('details', {}, summary, list), summary, list };
}

/** Rows are `[text, time?]`. */
export function showRows(list, rows, empty) {
  rebuild(list, rows, () =>
    rows.length === 0
      ? [el('li', { class: 'none' }, empty)]
      : rows.map(([text, at]) =>
          el(
            'li',
            {},
            at ? el('time', { datetime: at, title: exact(at) }, clock(at)) : null,
            at ? ' ' : null,
            text,
          ),
        ),
  );
}

/** What a person must do: sign in, settle calls in doubt, or start a worker that can make the waiting calls. */
export function showHint(element, upstream) {
  const { name, signIn, holds, queue, unmet } = upstream;
  const signOut = signIn === 'text-message' && holds.some((hold) => hold.kind === 'sign-in');
  rebuild(element, [signOut, queue.inDoubt, unmet], () => [
    signOut
      ? el(
          'p',
          { class: 'notice sign-in-hint' },
          el('a', { href: `/sign-in/${name}` }, 'Sign-in needed: a person must enter a code.'),
        )
      : null,
    queue.inDoubt > 0
      ? el(
          'p',
          { class: 'notice' },
          el(
            'a',
            { href: '/in-doubt' },
            `In doubt: ${queue.inDoubt.toLocaleString()}. A person must settle these calls.`,
          ),
        )
      : null,
    ...unmet.map(({ words }) =>
      el(
        'p',
        { class: 'notice bad unmet' },
        el('strong', {}, `No live worker can make ${words}.`),
        ' They wait.',
      ),
    ),
  ]);
}

/** Mismatches in red, each with what repairs it. */
export function showMismatches(element, { agreement }) {
  rebuild(element, agreement.mismatches, () =>
    agreement.mismatches.map(({ what, fix }) =>
      el('p', { class: 'notice bad mismatch' }, el('strong', {}, what), ` ${fix}`),
    ),
  );
}

/** Failures out of the threshold. During a ramp: permits out of the fleet's capacity. */
export function showMeter(element, { breaker, evidence }) {
  const isRamp = breaker.state === 'half_open' && !evidence.probing;
  const [value, most] = isRamp
    ? [breaker.permits, evidence.permitsTarget]
    : [Math.min(breaker.consecutiveFailures, evidence.failMax), evidence.failMax];
  rebuild(element, [breaker.state, isRamp, value, most], () => [
    el(
      'span',
      { class: `meter ${isRamp ? 'ramp' : 'failures'}`, 'aria-hidden': 'true' },
      Array.from({ length: Math.min(most, 40) }, (_, i) =>
        el('i', { class: i < (value * Math.min(most, 40)) / most ? 'on' : null }),
      ),
    ),
    el(
      'span',
      { class: 'meter-text' },
      isRamp ? `${value} of ${most} calls at once` : failureText(breaker, evidence),
    ),
  ]);
}

function failureText({ state, consecutiveFailures: n }, { failMax }) {
  return state === 'closed'
    ? `${n} of ${failMax} failures in a row; opens at ${failMax}`
    : `${n} of ${failMax} failures in a row`;
}

/** Colour of the card's edge: `mismatch`, `held`, or none. */
export function troubleOf(upstream) {
  if (upstream.agreement.mismatches.length > 0) return 'mismatch';
  return say.heldChips(upstream).length > 0 ? 'held' : '';
}

/** Workers that saw failures, and the last errors. Rebuilt separately: ages change each second, links keep focus. */
export function showErrors(element, { evidence, breaker }, nowMs) {
  const isTrouble = breaker.state !== 'closed' || evidence.failing.length > 0;
  const failing = isTrouble ? evidence.failing.map((one) => say.failingText(one, nowMs)) : [];
  const errors = isTrouble ? evidence.errors : [];
  const [seenBy, last] = element.children;
  rebuild(seenBy, failing, () => [
    failing.length === 0 ? null : el('h3', {}, 'Workers that saw failures'),
    failing.length === 0
      ? null
      : el(
          'ul',
          { class: 'plain failing' },
          failing.map((text) => el('li', {}, text)),
        ),
  ]);
  rebuild(last, errors, () => [
    errors.length === 0 ? null : el('h3', {}, 'Last errors'),
    errors.length === 0 ? null : el('ul', { class: 'plain errors' }, errors.map(errorRow)),
  ]);
}

function errorRow({ at, call, operation, code, status, worker }) {
  return el(
    'li',
    {},
    el('time', { datetime: at, title: exact(at) }, clock(at)),
    ' ',
    el('a', { href: `/calls/${call}` }, operation),
    ` ${code}${status === null || code.endsWith(String(status)) ? '' : ` (HTTP ${status})`} `,
    el('small', {}, worker),
  );
}

/** The newest incidents as links. */
export function showIncidents(element, { incidents, name }) {
  rebuild(element, incidents, () =>
    incidents.length === 0
      ? ['No incidents recorded.']
      : [
          'Incidents: ',
          ...incidents.flatMap(({ id, openedAt, closedAt }, index) => [
            index === 0 ? null : ', ',
            el(
              'a',
              { href: `/incidents/${name}/${id}`, title: exact(openedAt) },
              `${clock(openedAt)} (${closedAt === null ? 'still open' : duration(Date.parse(closedAt) - Date.parse(openedAt))})`,
            ),
          ]),
        ],
  );
}

/** The state according to Redis, the holds, the queue and each worker. */
export function showAgreement({ summary, list }, { agreement }) {
  const isBad = agreement.mismatches.length > 0;
  setText(summary, isBad ? 'Not all parts agree' : 'All parts agree');
  summary.className = isBad ? 'bad' : '';
  rebuild(list, agreement.rows, () =>
    agreement.rows.map(({ who, says, agrees }) => {
      const verdict = agrees === null ? 'not reported yet' : agrees ? 'agrees' : 'disagrees';
      return el('li', { 'data-agrees': String(agrees) }, `${who}: ${says} `, el('small', {}, verdict));
    }),
  );
}

/** The workers. Those set aside are marked. */
export function showWorkers({ summary, list }, { fleet, workers }, nowMs) {
  const aside = fleet.filter((worker) => worker.setAside).length;
  setText(summary, `Workers: ${workers}${aside > 0 ? `, ${aside} set aside` : ''}`);
  const rows = fleet.map((worker) => [
    worker.id,
    say.workerText(worker, nowMs),
    worker.setAside,
    say.differsText(worker),
  ]);
  rebuild(list, rows, () =>
    rows.length === 0
      ? [el('li', { class: 'none' }, 'none running')]
      : rows.map(([id, text, isAside, differs]) =>
          el(
            'li',
            {},
            el('strong', {}, id),
            isAside ? el('span', { class: 'tag half' }, 'set aside') : null,
            ` ${text}`,
            differs === null ? null : el('strong', { class: 'bad differs' }, ` ${differs}`),
          ),
        ),
  );
}

/** The newest transitions. */
export function showTimeline({ list }, { timeline }) {
  showRows(
    list,
    timeline.slice(0, 12).map((entry) => [say.transitionText(entry), entry.at]),
    'none yet',
  );
}
