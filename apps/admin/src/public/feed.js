/**
 * The live picture. Calls back with each snapshot; says how old the last one is by a clock that cannot jump.
 * Always true: after a lost connection it tries again by itself, and a lost session leads to the login page.
 */

/** Data older than this is not to be trusted, in milliseconds. */
export const staleAfterMs = 6000;

/** Starts listening; `onChange` is told after every snapshot and every second. */
export function openFeed(onChange) {
  const feed = { snapshot: null, receivedMs: 0, unavailable: false };
  feed.ageMs = () =>
    feed.snapshot === null ? Number.POSITIVE_INFINITY : performance.now() - feed.receivedMs;
  feed.isStale = () => feed.unavailable || feed.ageMs() > staleAfterMs;
  feed.nowMs = () => Date.parse(feed.snapshot.asOf) + feed.ageMs();
  connect(feed, onChange);
  setInterval(() => onChange(feed), 1000);
  return feed;
}

function connect(feed, onChange) {
  const source = new EventSource('/api/upstreams/stream');
  source.addEventListener('upstreams', (event) => {
    feed.snapshot = JSON.parse(event.data);
    feed.receivedMs = performance.now();
    feed.unavailable = false;
    onChange(feed);
  });
  source.addEventListener('unavailable', () => {
    feed.unavailable = true;
    onChange(feed);
  });
  source.addEventListener('error', () => {
    // While it says CONNECTING the browser tries again by itself.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => void reconnect(feed, onChange), 2000);
    }
  });
}

async function reconnect(feed, onChange) {
  try {
    const answer = await fetch('/api/upstreams');
    if (answer.status === 401) {
      location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
  } catch {
    // The server is away; connecting again finds out when it is back.
  }
  connect(feed, onChange);
}
