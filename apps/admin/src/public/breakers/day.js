/** Timeline of an upstream: an SVG of the last 24 hours or the last hour. Each incident is a link. */
import { el, rebuild, svg } from '../dom.js';
import { clock, duration } from '../format.js';
import { stateWord } from '../state.js';

/** SVG units across. Fewer on a phone, so that its text stays readable. */
const widths = { wide: 960, narrow: 480 };
const phone = matchMedia('(max-width: 40rem)');
const top = 18;
const height = 34;
const minuteMs = 60_000;
/** The selectable spans. `tick`: minutes between ticks. */
const spans = {
  day: { ms: 1440 * minuteMs, tick: 180, words: 'the last 24 hours' },
  hour: { ms: 60 * minuteMs, tick: 10, words: 'the last hour' },
};
/** Minimum width of a bar, so that a short outage can be seen and clicked. */
const leastWidth = 6;

/** The timeline with its span buttons. `update` redraws only when the data or the clock has moved on visibly. */
export function dayBox() {
  let span = 'day';
  let last = null;
  const chart = el('div', { class: 'day-box' });
  const buttons = Object.entries({ day: '24 hours', hour: '1 hour' }).map(([name, text]) => {
    const button = el('button', { type: 'button', 'aria-pressed': String(name === span) }, text);
    button.addEventListener('click', () => {
      span = name;
      for (const other of buttons) other.setAttribute('aria-pressed', String(other === button));
      if (last !== null) show(last);
    });
    return button;
  });
  const show = (upstream) => {
    last = upstream;
    const { stretches, marks, to } = upstream.day;
    const moves = stretches.map(({ from, state }) => [from, state]).slice(1);
    const width = phone.matches ? widths.narrow : widths.wide;
    rebuild(chart, [span, width, moves, marks, Math.floor(to / (span === 'day' ? 60_000 : 5_000))], () => [
      drawing(upstream, spans[span], width),
    ]);
  };
  const head = el(
    'div',
    { class: 'day-head' },
    el('h3', {}, 'Timeline'),
    el('div', { class: 'spans' }, buttons),
  );
  return { element: el('div', {}, head, chart), update: show };
}

function drawing({ day: all, name }, span, width) {
  const day = { ...all, from: all.to - span.ms };
  const x = (ms) => ((Math.max(ms, day.from) - day.from) / span.ms) * width;
  const scale = { x, width };
  const seen = day.stretches.filter(({ to }) => to > day.from);
  const open = seen.filter(({ state }) => state === 'open' || state === 'half_open');
  const openMs = open.reduce((sum, { from, to }) => sum + to - Math.max(from, day.from), 0);
  const label =
    openMs === 0 ? `never open in ${span.words}` : `not closed for ${duration(openMs)} of ${span.words}`;
  return svg(
    'svg',
    { viewBox: `0 0 ${width} 80`, class: 'day', role: 'group', 'aria-label': label },
    svg('rect', { class: 'ground', x: 0, y: top, width, height, rx: 4 }),
    seen.filter(({ state }) => state === 'unknown').map((stretch) => bar(stretch, scale, name)),
    open.map((stretch) => bar(stretch, scale, name)),
    unknownLabel(seen, x),
    marksOf(
      day.marks.filter(({ at }) => at >= day.from),
      scale,
    ),
    ticksOf(day, scale, width === widths.wide ? span.tick : span.tick * 2),
  );
}

/** Explains a grey stretch. */
function unknownLabel(stretches, x) {
  const first = stretches.find(({ state }) => state === 'unknown');
  if (first === undefined || x(first.to) - x(first.from) < 120) return null;
  const middle = (x(first.from) + x(first.to)) / 2;
  return svg('text', { x: middle, y: top + height - 10, 'text-anchor': 'middle' }, 'no record');
}

function bar({ from, to, state, incident }, { x, width }, name) {
  const left = Math.min(x(from), width - leastWidth);
  const shape = svg(
    'rect',
    { class: state, x: left, y: top, width: Math.max(leastWidth, x(to) - left), height },
    svg('title', {}, `${stateWord(state)}, ${clock(new Date(from).toISOString())}, ${duration(to - from)}`),
  );
  if (incident === null) return shape;
  return svg(
    'a',
    {
      href: `/incidents/${name}/${incident}`,
      tabindex: '-1',
      'aria-label': `Incident: ${stateWord(state)} from ${clock(new Date(from).toISOString())}, ${duration(to - from)}`,
    },
    shape,
  );
}

/** Marks closer together than this are drawn as one. */
const together = 10;

function marksOf(marks, { x, width }) {
  const drawn = [];
  let last = null;
  for (const mark of [...marks].sort((a, b) => a.at - b.at)) {
    const at = x(mark.at);
    if (last !== null && at - last.at < together) last.texts.push(textOf(mark));
    else {
      last = { at, kind: mark.kind, texts: [textOf(mark)] };
      drawn.push(last);
    }
  }
  return drawn.map(({ at, kind, texts }) => {
    const shown = texts.length > 6 ? [...texts.slice(0, 6), `and ${texts.length - 6} more`] : texts;
    const middle = Math.min(width - 6, Math.max(6, at));
    return svg(
      'path',
      { class: `mark ${kind}`, d: `M${middle - 6} 2h12l-6 12z` },
      svg('title', {}, shown.join('\n')),
    );
  });
}

function textOf({ at, text }) {
  return `${clock(new Date(at).toISOString())} ${text}`;
}

function ticksOf({ from, to }, { x, width }, everyMinutes) {
  const lines = [];
  // Ticks at round local times. A UTC offset can be any multiple of a quarter of an hour.
  const offsetMs = new Date(to).getTimezoneOffset() * minuteMs;
  const everyMs = everyMinutes * minuteMs;
  const first = Math.ceil((from - offsetMs) / everyMs) * everyMs + offsetMs;
  for (let ms = first; ms <= to; ms += everyMs) {
    const at = x(ms);
    const date = new Date(ms);
    const text = [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, '0')).join(':');
    lines.push(svg('line', { class: 'hour', x1: at, x2: at, y1: top, y2: top + height + 4 }));
    if (at > 28 && at < width - 80) lines.push(svg('text', { x: at, y: 76, 'text-anchor': 'middle' }, text));
  }
  lines.push(svg('text', { x: width, y: 76, 'text-anchor': 'end' }, 'now'));
  return lines;
}
