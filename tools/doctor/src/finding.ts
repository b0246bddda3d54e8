/** What the doctor found. No finding contains the value of a variable, because it may be a secret. */

/** `fail`: calls are or will be lost, refused or stuck. `warn`: works, but a person should check it. */
export type Finding =
  | { readonly status: 'ok'; readonly check: string; readonly found: string }
  | {
      readonly status: 'warn' | 'fail';
      readonly check: string;
      readonly found: string;
      readonly advice: string;
    };

export function ok(check: string, found: string): Finding {
  return { status: 'ok', check, found };
}

export function warn(check: string, found: string, advice: string): Finding {
  return { status: 'warn', check, found, advice };
}

export function fail(check: string, found: string, advice: string): Finding {
  return { status: 'fail', check, found, advice };
}

export function worst(findings: readonly Finding[]): Finding['status'] {
  const all = new Set(findings.map(({ status }) => status));
  return all.has('fail') ? 'fail' : all.has('warn') ? 'warn' : 'ok';
}

/** Formats findings for a terminal. */
export function asText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap((finding) => {
    const line = `${finding.status.padEnd(4)}  ${finding.check.padEnd(width)}  ${finding.found}`;
    return finding.status === 'ok' ? [line] : [line, `${' '.repeat(width + 8)}→ ${finding.advice}`];
  });
  const count = (status: Finding['status']) => findings.filter((one) => one.status === status).length;
  const [passed, warnings, failures] = [count('ok'), count('warn'), count('fail')];
  const summary = `${passed} ok, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}, ${failures} to fix`;
  return [...lines, '', summary].join('\n');
}

export function asJson(findings: readonly Finding[]): string {
  return JSON.stringify({ status: worst(findings), findings }, null, 2);
}
