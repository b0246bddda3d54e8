/** One upstream's card. Built once and then only changed, so that focus and opened details stay. */
import { actionForm } from './action-form.js';
import * as say from './describe.js';
import { el, setText } from './dom.js';
import { clock } from './format.js';

const facts = [
  ['since', 'Since'],
  ['why', 'Why'],
  ['next', 'Next try'],
  ['held', 'Held calls'],
  ['oldest', 'Oldest waiting'],
  ['queue', 'Queue'],
];

/** Makes an empty card; `update(upstream, feed)` fills it. */
export function createCard(name) {
  const parts = {
    title: el('h2', { id: `card-${name}` }),
    badge: el(
      'span',
      { class: 'badge' },
      el('span', { class: 'shape', 'aria-hidden': 'true' }),
      el('span', { class: 'word' }),
    ),
    chips: el('ul', { class: 'chips', 'aria-label': 'Holds' }),
    effect: el('p', { class: 'effect' }),
    mismatch: el('p', { class: 'notice bad', hidden: true }),
    holds: el('ul', { class: 'plain' }),
    workers: el('ul', { class: 'plain' }),
    workersTitle: el('summary'),
    timeline: el('ol', { class: 'plain timeline' }),
    facts: Object.fromEntries(facts.map(([key]) => [key, el('dd', { 'data-fact': key })])),
  };
  const section = el(
    'section',
    { class: 'card', 'aria-labelledby': `card-${name}`, 'data-upstream': name },
    el('div', { class: 'card-head' }, parts.title, parts.chips, parts.badge),
    parts.effect,
    parts.mismatch,
    el(
      'dl',
      {},
      facts.flatMap(([key, title]) => [el('dt', {}, title), parts.facts[key]]),
    ),
    el('h3', {}, 'Holds'),
    parts.holds,
    el('details', {}, parts.workersTitle, parts.workers),
    el('details', {}, el('summary', {}, 'Last transitions'), parts.timeline),
    document.body.dataset.mayAct === 'yes' ? actionForm(name) : null,
  );
  return { section, update: (upstream, feed) => update(section, parts, upstream, feed) };
}

function update(section, parts, upstream, feed) {
  const nowMs = feed.nowMs();
  const { kind, word } = say.stateOf(upstream, feed.isStale());
  section.dataset.state = kind;
  setText(parts.title, upstream.title);
  setText(parts.badge.querySelector('.word'), word);
  fill(
    parts.chips,
    say.heldChips(upstream).map((text) => [text]),
  );
  setText(parts.effect, say.effectOf(upstream));
  const mismatch = say.mismatchOf(upstream);
  parts.mismatch.hidden = mismatch === null;
  setText(parts.mismatch, mismatch ?? '');
  setText(parts.facts.since, say.sinceText(upstream, nowMs));
  setText(parts.facts.why, say.whyText(upstream));
  setText(parts.facts.next, say.nextText(upstream, nowMs));
  setText(parts.facts.held, say.heldText(upstream));
  setText(parts.facts.oldest, say.oldestText(upstream));
  setText(parts.facts.queue, say.queueText(upstream));
  setText(parts.workersTitle, `Workers: ${upstream.workers}`);
  fill(
    parts.holds,
    upstream.holds.map((hold) => [say.holdText(hold, nowMs)]),
    'none',
  );
  fill(
    parts.workers,
    upstream.fleet.map((worker) => [say.workerText(worker, nowMs)]),
    'none alive',
  );
  fill(
    parts.timeline,
    upstream.timeline.slice(0, 12).map((entry) => [say.transitionText(entry), entry.at]),
    'none yet',
  );
  signInHint(section, parts, upstream);
}

/** Rows are `[text, time?]`; rebuilt only when a row differs. */
function fill(list, rows, empty) {
  const wanted = JSON.stringify(rows);
  if (list.dataset.rows === wanted) return;
  list.dataset.rows = wanted;
  const items = rows.map(([text, at]) =>
    el('li', {}, at ? el('time', { datetime: at }, clock(at)) : null, at ? ' ' : null, text),
  );
  if (items.length === 0 && empty) items.push(el('li', { class: 'none' }, empty));
  list.replaceChildren(...items);
}

/** A link to the sign-in page while a person is needed. */
function signInHint(section, parts, upstream) {
  const isNeeded =
    upstream.signIn === 'text-message' && upstream.holds.some((hold) => hold.kind === 'sign-in');
  const hint = section.querySelector('.sign-in-hint');
  if (!isNeeded) hint?.remove();
  else if (hint === null) {
    parts.effect.after(
      el(
        'p',
        { class: 'notice sign-in-hint' },
        el('a', { href: `/sign-in/${upstream.name}` }, 'A person has to sign in.'),
      ),
    );
  }
}
