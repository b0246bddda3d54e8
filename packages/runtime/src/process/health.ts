/**
 * The body of `GET /health`, after the `application/health+json` draft: one check per dependency, worst one wins.
 *
 * Always true: `warn` still counts as healthy. An open breaker is `warn`, because this process works as it should.
 */

/** `fail`: do not send traffic here. `warn`: works, but a person may want to look. */
export type HealthStatus = 'pass' | 'warn' | 'fail';

/** What one dependency or part showed. */
export type HealthCheck = {
  /** For example `redis:connection` or `crossmark:breaker`. */
  readonly name: string;
  readonly status: HealthStatus;
  /** Why it is not `pass`, in a sentence. */
  readonly output?: string;
  readonly observedValue?: string | number | boolean | null;
  readonly observedUnit?: string;
  /** When it was observed, ISO 8601. */
  readonly time?: string;
};

/** The document itself. */
export type HealthBody = {
  readonly status: HealthStatus;
  readonly checks: Readonly<Record<string, readonly Omit<HealthCheck, 'name'>[]>>;
};

/** Media type of {@link HealthBody}. */
export const healthContentType = 'application/health+json';

const severity = { pass: 0, warn: 1, fail: 2 } as const;

/** Gathers checks into one document; its status is the worst of theirs. */
export function healthBody(checks: readonly HealthCheck[]): HealthBody {
  const byName: Record<string, Omit<HealthCheck, 'name'>[]> = {};
  let status: HealthStatus = 'pass';
  for (const { name, ...check } of checks) {
    byName[name] = [...(byName[name] ?? []), check];
    if (severity[check.status] > severity[status]) status = check.status;
  }
  return { status, checks: byName };
}

/** The HTTP status that goes with a health status: 503 for `fail`, 200 otherwise. */
export function healthHttpStatus(status: HealthStatus): 200 | 503 {
  return status === 'fail' ? 503 : 200;
}
