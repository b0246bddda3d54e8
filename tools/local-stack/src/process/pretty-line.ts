/** Formats a JSON log line of an app for a terminal. A line that is not JSON is printed unchanged. */
import type picocolors from 'picocolors';

type Paint = Pick<ReturnType<typeof picocolors.createColors>, 'dim' | 'red' | 'yellow' | 'cyan'>;

/** Fields that carry no information on a single machine, or are printed elsewhere. */
const noise = new Set(['level', 'time', 'pid', 'hostname', 'name', 'msg', 'err', 'url']);

/** `12:03:04 web       call kept  upstream=crossmark id=…` */
export function prettyLine(app: string, line: string, paint: Paint): string {
  const label = paint.cyan(app.padEnd(9));
  const entry = parse(line);
  if (!entry) return `         ${label} ${line}`;
  const time = typeof entry.time === 'string' ? new Date(entry.time).toTimeString().slice(0, 8) : '        ';
  const message = colour(String(entry.level), paint)(String(entry.msg ?? ''));
  const fields = Object.entries(entry)
    .filter(([key, value]) => !noise.has(key) && value !== null && value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  const details = fields.length > 0 ? `  ${paint.dim(fields.join(' '))}` : '';
  return `${paint.dim(time)} ${label} ${message}${details}${describeError(entry.err, entry.msg, paint)}`;
}

/** True for a log line at level `info` or below. */
export function isInfo(line: string): boolean {
  return ['info', 'debug', 'trace'].includes(String(parse(line)?.level));
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' && entry !== null && 'level' in entry ? { ...entry } : undefined;
  } catch {
    return undefined;
  }
}

function colour(level: string, paint: Paint): (text: string) => string {
  if (level === 'error' || level === 'fatal') return paint.red;
  return level === 'warn' ? paint.yellow : (text) => text;
}

function describeError(err: unknown, message: unknown, paint: Paint): string {
  if (typeof err !== 'object' || err === null || !('message' in err) || err.message === message) return '';
  const code = 'code' in err ? ` (${String(err.code)})` : '';
  return paint.dim(`  ${String(err.message)}${code}`);
}
