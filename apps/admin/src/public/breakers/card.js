/** One upstream's card. Built once and then updated, so that focus and opened details stay. */

import { el, rebuild, setText } from '../dom.js';
import { countdown, exact } from '../format.js';
import { nextChangeAt, stateOf } from '../state.js';
import { actionBar } from './act.js';
import * as parts from './card-parts.js';
import { dayBox } from './day.js';
import * as say from './describe.js';
import { retryPanel } from './retry.js';

const figures = [
  ['held', 'Held calls'],
  ['oldest', 'Oldest waiting'],
  ['rate', 'Calls per minute'],
  ['drain', 'Time to drain'],
];
const facts = [
  ['since', 'Since'],
  ['why', 'Why'],
  ['next', 'Next trial'],
  ['queue', 'Queue'],
];

/** Makes an empty card; `update(upstream, feed)` fills it. */
export function createCard(name) {
  const mayAct = document.body.dataset.mayAct === 'yes';
  const part = {
    title: el('h2', { id: `card-${name}` }),
    badge: parts.badge(),
    chips: el('ul', { class: 'chips', 'aria-label': 'Holds' }),
    effect: el('p', { class: 'effect' }),
    count: el('p', { class: 'countdown' }),
    hint: el('div'),
    mismatch: el('div'),
    facts: Object.fromEntries([...figures, ...facts].map(([key]) => [key, el('dd', { 'data-fact': key })])),
    meter: el('div', { class: 'meter-row' }),
    day: dayBox(),
    incidents: el('p', { class: 'incidents' }),
    errors: el('div', {}, el('div'), el('div')),
    holds: el('ul', { class: 'plain' }),
    agreement: parts.fold('agreement'),
    workers: parts.fold('workers'),
    timeline: parts.fold('timeline', 'Last transitions'),
    actions: mayAct ? actionBar(name) : null,
    retry: mayAct ? retryPanel(name) : null,
  };
  const section = el(
    'section',
    { class: 'card breaker', 'aria-labelledby': `card-${name}`, 'data-upstream': name },
    ...layout(part),
  );
  return { section, update: (upstream, feed) => update(section, part, upstream, feed) };
}

function layout(part) {
  const list = (rows, kind) =>
    el(
      'dl',
      { class: kind },
      rows.map(([key, title]) => el('div', {}, el('dt', {}, title), part.facts[key])),
    );
  return [
    el('div', { class: 'card-head' }, part.title, part.chips, part.badge.element),
    el('div', { class: 'lead-row' }, part.effect, part.count),
    part.hint,
    part.mismatch,
    part.meter,
    list(figures, 'figures'),
    list(facts, 'facts'),
    part.errors,
    el('h3', {}, 'Holds'),
    part.holds,
    part.day.element,
    part.incidents,
    part.actions?.element,
    part.retry?.element,
    part.agreement.element,
    part.workers.element,
    part.timeline.element,
  ];
}

function update(section, part, upstream, feed) {
  const nowMs = feed.nowMs();
  const isStale = feed.isStale();
  const { kind, word } = stateOf(upstream, isStale);
  section.dataset.state = kind;
  section.dataset.trouble = parts.troubleOf(upstream);
  setText(part.title, upstream.title);
  part.badge.show(word);
  rebuild(part.chips, say.heldChips(upstream), () =>
    say.heldChips(upstream).map((text) => el('li', {}, text)),
  );
  setText(part.effect, say.effectOf(upstream));
  showCountdown(part.count, upstream, nowMs, isStale);
  showFacts(part.facts, upstream, nowMs);
  parts.showHint(part.hint, upstream);
  parts.showMismatches(part.mismatch, upstream);
  parts.showMeter(part.meter, upstream);
  parts.showErrors(part.errors, upstream, nowMs);
  parts.showRows(
    part.holds,
    upstream.holds.map((hold) => [say.holdText(hold, nowMs)]),
    'none',
  );
  part.day.update(upstream);
  parts.showIncidents(part.incidents, upstream);
  parts.showAgreement(part.agreement, upstream);
  parts.showWorkers(part.workers, upstream, nowMs);
  parts.showTimeline(part.timeline, upstream);
  part.actions?.update(upstream, isStale);
  part.retry?.update(upstream, isStale);
}

function showCountdown(element, upstream, nowMs, isStale) {
  const next = isStale ? null : nextChangeAt(upstream);
  const leftMs = next === null ? null : Date.parse(next) - nowMs;
  element.hidden = leftMs === null || upstream.breaker.state === 'half_open';
  if (leftMs === null) return;
  const what = upstream.breaker.state === 'open' ? 'next trial' : 'hold ends';
  element.title = exact(next);
  const left = leftMs <= 0 ? 'now' : countdown(leftMs);
  rebuild(element, [what, left], () => [
    el('span', {}, leftMs <= 0 ? what : `${what} in`),
    el('strong', {}, left),
  ]);
}

function showFacts(fact, upstream, nowMs) {
  setText(fact.since, say.sinceText(upstream, nowMs));
  fact.since.title = upstream.breaker.since === null ? '' : exact(upstream.breaker.since);
  setText(fact.why, say.whyText(upstream));
  const fails = say.ifItFailsText(upstream);
  rebuild(fact.next, [say.nextText(upstream, nowMs), fails], () => [
    el('span', {}, say.nextText(upstream, nowMs)),
    fails === null ? null : el('small', {}, ` ${fails}`),
  ]);
  const waiting = say.waitingText(upstream);
  rebuild(fact.held, [say.heldText(upstream), waiting], () => [
    el('span', {}, say.heldText(upstream)),
    waiting === null ? null : el('small', {}, waiting),
  ]);
  setText(fact.oldest, say.oldestText(upstream));
  setText(fact.rate, say.rateText(upstream));
  setText(fact.drain, say.drainText(upstream));
  setText(fact.queue, say.queueText(upstream));
}
