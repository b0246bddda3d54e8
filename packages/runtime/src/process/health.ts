/**
 * The body of `GET /health`, after the `application/health+json` draft: one check per dependency, and the worst status
 * wins. `warn` counts as healthy. An open breaker is `warn`, because this process works.
 */

/** `fail`: do not send traffic here. `warn`: works, but needs attention. */
type HealthStatus = 'pass' | 'warn' | 'fail';

export type HealthCheck = {
  /** For example `redis:connection` or `crossmark:breaker`. */
  readonly name: string;
  readonly status: HealthStatus;
  /** Why the status is not `pass`, in one sentence. */
  readonly output?: string;
  readonly observedValue?: string | number | boolean | null;
  readonly observedUnit?: string;
  /** Time of the observation, ISO 8601. */
  readonly time?: string;
};

type HealthBody = {
  readonly status: HealthStatus;
  readonly checks: Readonly<Record<string, readonly Omit<HealthCheck, 'name'>[]>>;
};

export const healthContentType = 'application/health+json';

const severity = { pass: 0, warn: 1, fail: 2 } as const;

export function healthBody(checks: readonly HealthCheck[]): HealthBody {
  const byName: Record<string, Omit<HealthCheck, 'name'>[]> = {};
  let status: HealthStatus = 'pass';
  for (const { name, ...check } of checks) {
    byName[name] = [...(byName[name] ?? []), check];
    if (severity[check.status] > severity[status]) status = check.status;
  }
  return { status, checks: byName };
}

export function healthHttpStatus(status: HealthStatus): 200 | 503 {
  return status === 'fail' ? 503 : 200;
}
