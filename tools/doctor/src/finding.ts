/**
 * What the doctor found, one line each.
 *
 * Always true: no finding repeats the value of a variable that may be secret; whatever is not `ok` says what to do.
 */

/** `fail`: calls are lost, refused or stand still, or will be. `warn`: works, but a person should look. */
export type Finding =
  | { readonly status: 'ok'; readonly check: string; readonly found: string }
  | {
      readonly status: 'warn' | 'fail';
      readonly check: string;
      readonly found: string;
      readonly advice: string;
    };

/** All is well. */
export function ok(check: string, found: string): Finding {
  return { status: 'ok', check, found };
}

/** A person should look. */
export function warn(check: string, found: string, advice: string): Finding {
  return { status: 'warn', check, found, advice };
}

/** Must be mended. */
export function fail(check: string, found: string, advice: string): Finding {
  return { status: 'fail', check, found, advice };
}

/** The worst status of all. */
export function worst(findings: readonly Finding[]): Finding['status'] {
  const all = new Set(findings.map(({ status }) => status));
  return all.has('fail') ? 'fail' : all.has('warn') ? 'warn' : 'ok';
}

/** As lines for a terminal. */
export function asText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap((finding) => {
    const line = `${finding.status.padEnd(4)}  ${finding.check.padEnd(width)}  ${finding.found}`;
    return finding.status === 'ok' ? [line] : [line, `${' '.repeat(width + 8)}→ ${finding.advice}`];
  });
  const count = (status: Finding['status']) => findings.filter((one) => one.status === status).length;
  return [...lines, '', `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} to mend`].join(
    '\n',
  );
}

/** As one JSON document. */
export function asJson(findings: readonly Finding[]): string {
  return JSON.stringify({ status: worst(findings), findings }, null, 2);
}
