/**
 * `<recloser-strip>`: one chip per upstream on every page of the board, from the same live stream as /breakers.
 * A shadow root separates its styles from those of the board.
 */

import { el, rebuild } from '../dom.js';
import { openFeed } from '../feed.js';
import { clock, count, countdown, duration } from '../format.js';
import { nextChangeAt, otherHolds, stateOf } from '../state.js';
import { improveBoard } from './improve-board.js';

class RecloserStrip extends HTMLElement {
  #stop;

  connectedCallback() {
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
    const list = el('ul');
    const asOf = el('span', { class: 'as-of' }, 'Loading…');
    const heading = el('h1', { class: 'unseen' }, 'Queues');
    root.replaceChildren(
      el('link', { rel: 'stylesheet', href: '/assets/board/strip.css' }),
      heading,
      list,
      asOf,
    );
    const chips = new Map();
    this.#stop = openFeed((feed) => {
      const isStale = feed.isStale();
      this.toggleAttribute('stale', isStale && feed.snapshot !== null);
      asOf.textContent = asOfText(feed, isStale);
      for (const upstream of feed.snapshot?.upstreams ?? []) {
        const chip = chips.get(upstream.name) ?? addChip(list, upstream.name);
        chips.set(upstream.name, chip);
        showChip(chip, chipOf(upstream, feed, isStale));
      }
    });
  }

  disconnectedCallback() {
    this.#stop?.();
  }
}

function asOfText(feed, isStale) {
  if (feed.snapshot === null) return 'Loading…';
  return isStale ? `${duration(feed.ageMs())} old` : `as of ${clock(feed.snapshot.asOf)}`;
}

/** Content of a chip. */
function chipOf(upstream, feed, isStale) {
  const { kind, word } = stateOf(upstream, isStale);
  const others = otherHolds(upstream).map((hold) => `held: ${hold.kind}`);
  const next = isStale ? null : nextChangeAt(upstream);
  const leftMs = next === null ? null : Date.parse(next) - feed.nowMs();
  const left = leftMs === null ? null : leftMs <= 0 ? 'due now' : countdown(leftMs);
  const what = upstream.breaker.state === 'open' ? 'next trial' : 'hold ends';
  return { title: upstream.title, kind, word, others, held: heldOf(upstream), left, what };
}

function heldOf({ holds, held, queue }) {
  if (holds.length === 0) return null;
  const oldest = held > 0 && queue.oldestWaitingSeconds !== null ? queue.oldestWaitingSeconds : null;
  const age = oldest === null ? '' : `, oldest ${duration(oldest * 1000)}`;
  return `${count(held, 'call')} held${age}`;
}

/** The link is created once and only its content is rebuilt each second, so that it keeps the focus. */
function addChip(list, name) {
  const chip = el('a', { href: `/breakers#card-${name}` });
  list.append(el('li', {}, chip));
  return chip;
}

function showChip(chip, says) {
  const { title, kind, word, others, held, left, what } = says;
  chip.dataset.state = kind;
  const ends = left === null ? null : left === 'due now' ? `${what} is due` : `${what} in ${left}`;
  chip.setAttribute('aria-label', `${title}: ${[word, ...others, held, ends].filter(Boolean).join(', ')}`);
  rebuild(chip, says, () => [
    el('span', { class: 'shape', 'aria-hidden': 'true' }),
    el('span', { class: 'title' }, title),
    el('strong', {}, word),
    ...others.map((text) => el('span', { class: 'more' }, text)),
    held === null ? null : el('span', {}, held),
    left === null ? null : el('span', { class: 'left' }, left),
  ]);
}

customElements.define('recloser-strip', RecloserStrip);
improveBoard();
