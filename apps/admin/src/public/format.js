/** Formats times and counts. Takes the server's time as an argument, because the local clock may be wrong. */

/** A duration in milliseconds as "3 min" or "2 h 5 min". */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

/** "3 min ago", or "just now". */
export function ago(iso, nowMs) {
  const ms = nowMs - Date.parse(iso);
  return ms < 1500 ? 'just now' : `${duration(ms)} ago`;
}

/** "in 12 s", or "now" when the time has passed. */
export function until(iso, nowMs) {
  const ms = Date.parse(iso) - nowMs;
  return ms <= 0 ? 'now' : `in ${duration(ms)}`;
}

/** Local clock time, with the date when it is not today. */
export function clock(iso) {
  const date = new Date(iso);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString() : date.toLocaleString();
}

/** Date and time to the second, with the local time zone. */
export function exact(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'long' });
}

/** Remaining time as "1:05". */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const rest = `${String(Math.floor((seconds % 3600) / 60)).padStart(hours > 0 ? 2 : 1, '0')}:${String(seconds % 60).padStart(2, '0')}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

/** "1 call", "2 calls". */
export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString()} ${n === 1 ? one : many}`;
}
