/**
 * Reads every line the processes write. Always true: a line at level error or fatal, or one that is no log line at
 * all, is unexplained unless it is listed here with its reason.
 */

/** Why a line at level error may be there. */
const explained: readonly { readonly message: RegExp; readonly why: string }[] = [];

export class LogWatch {
  /** Warnings by process kind and message. */
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
