/**
 * Checks every line that the processes write. A line at level error or fatal, or one that is not JSON, is a violation
 * unless it is listed here with its reason.
 */

/** Allowed lines at level error, with the reason. */
const explained: readonly { readonly message: RegExp; readonly why: string }[] = [];

export class LogWatch {
  /** The number of warnings by app and message. */
  readonly warnings: Record<string, number> = {};
  readonly explained: Record<string, number> = {};
  readonly unexplained: string[] = [];

  readonly line = (name: string, line: string): void => {
    const entry = parse(line);
    if (!entry) {
      if (line.trim()) this.unexplained.push(`${name}: ${line}`);
      return;
    }
    if (entry.level === 'warn') {
      const what = `${name.replace(/-\d+$/, '')}: ${entry.msg}`;
      this.warnings[what] = (this.warnings[what] ?? 0) + 1;
    }
    if (entry.level !== 'error' && entry.level !== 'fatal') return;
    const known = explained.find(({ message }) => message.test(entry.msg));
    if (known) this.explained[known.why] = (this.explained[known.why] ?? 0) + 1;
    else this.unexplained.push(`${name}: ${line}`);
  };
}

function parse(line: string): { readonly level: string; readonly msg: string } | undefined {
  try {
    const entry = JSON.parse(line) as { level?: unknown; msg?: unknown };
    return { level: String(entry.level), msg: String(entry.msg) };
  } catch {
    return undefined;
  }
}
