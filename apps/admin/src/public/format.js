/** Times and counts in words. Pure: the server's time is an argument, since this machine's clock may be wrong. */

/** "3 min", "2 h 5 min": a length of time in milliseconds. */
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

/** "in 12 s", or "now" when it is due. */
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

/** Date and time to the second, in this place's time and with its name. */
export function exact(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'long' });
}

/** "1:05": what is left of a countdown. */
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
