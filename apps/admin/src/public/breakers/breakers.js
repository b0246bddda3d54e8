/**
 * `<recloser-breakers>`: the page /breakers, one card per upstream, filled from one live stream. Stale data loses
 * its colours and shows its age.
 */

import { el, setText } from '../dom.js';
import { openFeed } from '../feed.js';
import { clock, duration, exact } from '../format.js';
import { otherHolds, stateOf } from '../state.js';
import { createCard } from './card.js';

class RecloserBreakers extends HTMLElement {
  #cards = new Map();
  #stop;
  #said = new Map();
  #openedMs = performance.now();
  /** Announces state changes to screen readers, but no countdowns. */
  #news = el('p', { class: 'unseen', role: 'status' });

  connectedCallback() {
    const asOf = document.getElementById('as-of');
    if (this.#cards.size === 0) this.replaceChildren(skeleton(), skeleton());
    this.after(this.#news);
    this.#stop = openFeed((feed) => {
      const isStale = feed.isStale();
      document.body.classList.toggle('stale', isStale && feed.snapshot !== null);
      document.body.classList.toggle('live', !isStale);
      setText(asOf, this.#asOfText(feed));
      if (feed.snapshot !== null) asOf.title = exact(feed.snapshot.asOf);
      for (const upstream of feed.snapshot?.upstreams ?? []) this.#card(upstream).update(upstream, feed);
      this.#tell(feed, isStale);
    });
  }

  disconnectedCallback() {
    this.#stop?.();
  }

  #card({ name }) {
    const known = this.#cards.get(name);
    if (known) return known;
    if (this.#cards.size === 0) this.replaceChildren();
    const card = createCard(name);
    this.#cards.set(name, card);
    this.append(card.section);
    if (location.hash === `#card-${name}`) card.section.scrollIntoView({ block: 'start' });
    return card;
  }

  #asOfText(feed) {
    if (feed.snapshot === null) {
      return performance.now() - this.#openedMs < 5000
        ? 'Loading…'
        : 'No data yet: Redis or this server cannot be reached. Retrying.';
    }
    const time = clock(feed.snapshot.asOf);
    if (!feed.isStale()) return `As of ${time}, live`;
    const why = feed.unavailable ? 'Redis cannot be read' : 'the connection is lost';
    return `As of ${time}, ${duration(feed.ageMs())} old: ${why}. Retrying.`;
  }

  #tell(feed, isStale) {
    const news = [];
    for (const upstream of feed.snapshot?.upstreams ?? []) {
      const { kind, word } = stateOf(upstream, isStale);
      const holds = otherHolds(upstream).map((hold) => `held: ${hold.kind}`);
      // A ramp has many steps; only its start is announced.
      const text = [kind === 'half-open' ? 'half-open' : word, ...holds].join(', ');
      const before = this.#said.get(upstream.name);
      this.#said.set(upstream.name, text);
      if (before !== undefined && before !== text) news.push(`${upstream.title}: ${text}`);
    }
    if (news.length > 0) setText(this.#news, news.join('. '));
  }
}

function skeleton() {
  return el('div', { class: 'card skeleton', 'aria-hidden': 'true' }, el('i'), el('i'), el('i'), el('i'));
}

customElements.define('recloser-breakers', RecloserBreakers);
