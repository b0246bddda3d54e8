/**
 * The live stream, one per page. It reconnects after a lost connection and redirects to the login when the
 * session has ended. Ages use the monotonic clock.
 */

const staleAfterMs = 6000;
/** A silent stream is reopened after this time: a proxy may keep a dead connection open. */
const silentAfterMs = 20_000;

/** Starts listening. Calls `onChange` after every snapshot and every second. Returns a function that stops. */
export function openFeed(onChange) {
  const feed = { snapshot: null, receivedMs: 0, unavailable: false, heardMs: performance.now() };
  feed.ageMs = () =>
    feed.snapshot === null ? Number.POSITIVE_INFINITY : performance.now() - feed.receivedMs;
  feed.isStale = () => feed.unavailable || feed.ageMs() > staleAfterMs;
  feed.nowMs = () => Date.parse(feed.snapshot.asOf) + feed.ageMs();
  const link = { source: null, stopped: false };
  connect(feed, link, onChange);
  const timer = setInterval(() => {
    if (performance.now() - feed.heardMs > silentAfterMs) connect(feed, link, onChange);
    onChange(feed);
  }, 1000);
  return () => {
    link.stopped = true;
    link.source?.close();
    clearInterval(timer);
  };
}

function connect(feed, link, onChange) {
  if (link.stopped) return;
  link.source?.close();
  feed.heardMs = performance.now();
  const source = new EventSource('/api/upstreams/stream');
  link.source = source;
  source.addEventListener('upstreams', (event) => {
    feed.snapshot = JSON.parse(event.data);
    feed.receivedMs = performance.now();
    feed.heardMs = feed.receivedMs;
    feed.unavailable = false;
    onChange(feed);
  });
  source.addEventListener('unavailable', () => {
    feed.heardMs = performance.now();
    feed.unavailable = true;
    onChange(feed);
  });
  source.addEventListener('error', () => {
    // In state CONNECTING the browser reconnects itself.
    if (source.readyState === EventSource.CLOSED && source === link.source) {
      setTimeout(() => void reconnect(feed, link, onChange), 1000);
    }
  });
}

async function reconnect(feed, link, onChange) {
  try {
    const answer = await fetch('/api/upstreams');
    if (answer.status === 401) {
      location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
  } catch {
    // The server cannot be reached: `connect` retries.
  }
  connect(feed, link, onChange);
}
