/** Formats figures as the Markdown tables of docs/measurements/bench.md. */
import type { Figure } from './figure.ts';
import { summarize } from './statistics.ts';

export function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { ours, bare, ratio, met } = summarize(figure);
    const { name, unit } = figure;
    const verdict = met === null ? '' : met ? 'met' : 'missed';
    const cells = [name, unit, number(ours), number(bare), number(ratio), aimText(figure), verdict];
    return `| ${cells.join(' | ')} |`;
  });
  const head = ['what', 'unit', 'ours', 'bare', 'ours ÷ bare', 'aim', ''];
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...rows].join('\n');
}

function aimText({ aim }: Figure): string {
  if (!aim) return '';
  const { kind, atLeast, atMost } = aim;
  const bounds = [
    ...(atLeast === undefined ? [] : [`≥ ${atLeast}`]),
    ...(atMost === undefined ? [] : [`≤ ${atMost}`]),
  ];
  return bounds.join(' and ') + (kind === 'ratio' ? ' ×' : '');
}

/** Three significant digits. Large numbers are rounded to integers. */
function number(value: number | null): string {
  if (value === null) return '';
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}
