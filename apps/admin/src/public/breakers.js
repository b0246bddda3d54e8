/** Fills the page /breakers from the live stream. */
import { createCard } from './card.js';
import { setText } from './dom.js';
import { openFeed } from './feed.js';
import { clock, duration } from './format.js';

const container = document.getElementById('upstreams');
const asOf = document.getElementById('as-of');
const cards = new Map();
const openedMs = performance.now();

openFeed((feed) => {
  document.body.classList.toggle('stale', feed.isStale());
  setText(asOf, asOfText(feed));
  for (const upstream of feed.snapshot?.upstreams ?? []) cardOf(upstream.name).update(upstream, feed);
});

function cardOf(name) {
  if (!cards.has(name)) {
    cards.set(name, createCard(name));
    container.append(cards.get(name).section);
  }
  return cards.get(name);
}

function asOfText(feed) {
  if (feed.snapshot === null) {
    return performance.now() - openedMs < 5000
      ? 'Waiting for the first picture…'
      : 'No picture yet: Redis or this server cannot be reached.';
  }
  const time = clock(feed.snapshot.asOf);
  if (!feed.isStale()) return `As of ${time}, live`;
  const why = feed.unavailable ? 'Redis cannot be read' : 'the connection is lost';
  return `As of ${time}, ${duration(feed.ageMs())} old: ${why}. Trying again.`;
}
