/** Times and counts in words, for server-rendered pages. */
import { type Html, html } from './html.ts';

/** A duration in milliseconds as "3 min 5 s" or "2 h 5 min". */
export function lengthInWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** "3 min ago", with the exact time in `title`. `times.js` keeps it current. */
export function agoInWords(ms: number, nowMs: number): Html {
  const iso = new Date(ms).toISOString();
  const text = nowMs - ms < 1500 ? 'just now' : `${lengthInWords(nowMs - ms)} ago`;
  return html`<time datetime="${iso}" title="${iso}" data-words="ago">${text}</time>`;
}

/** The time in UTC, to the second. `times.js` changes it to local time. */
export function exactTime(ms: number): Html {
  const iso = new Date(ms).toISOString();
  return html`<time datetime="${iso}" title="${iso}" data-words="exact">${iso.slice(0, 19).replace('T', ' ')} UTC</time>`;
}

/** "1 call", "2 calls". */
export function countInWords(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}
