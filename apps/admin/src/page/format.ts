/** Times and counts in words, for pages made on the server. Exact times stand in `title` and `datetime`. */
import { type Html, html } from './html.ts';

/** "3 min 5 s", "2 h 5 min": a length of time in milliseconds. */
export function lengthInWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** "3 min ago", with the exact time on hover; `times.js` keeps it going and shows local time. */
export function agoInWords(ms: number, nowMs: number): Html {
  const iso = new Date(ms).toISOString();
  const text = nowMs - ms < 1500 ? 'just now' : `${lengthInWords(nowMs - ms)} ago`;
  return html`<time datetime="${iso}" title="${iso}" data-words="ago">${text}</time>`;
}

/** The exact time, to the second; `times.js` shows it as local time. */
export function exactTime(ms: number): Html {
  const iso = new Date(ms).toISOString();
  return html`<time datetime="${iso}" title="${iso}" data-words="exact">${iso.slice(0, 19).replace('T', ' ')} UTC</time>`;
}

/** "1 call", "2 calls". */
export function countInWords(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}
