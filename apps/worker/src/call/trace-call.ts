/**
 * The spans of a call in the worker: one per turn of its job, one per attempt.
 *
 * A turn within a minute of acceptance that was never deferred joins the request's trace. Later turns start a new trace
 * linked to the request, because a trace that spans an outage of hours is unusable. Without tracing, the request's trace
 * headers are forwarded to the upstream unchanged.
 */
import type { Permit } from '@recloser/breaker/upstream-breaker';
import type { Span, Tracing } from '@recloser/runtime/observe/tracing';
import type { Call, CallJob } from './work-context.ts';

const soonMs = 60_000;

/** Starts the span of a turn. The caller ends it. */
export function traceTurn(
  { tracing, upstream, workerId }: { tracing: Tracing; upstream: string; workerId: string },
  job: CallJob,
): Span {
  const { trace, deferrals = 0, operation } = job.data ?? {};
  const isPart = deferrals === 0 && Date.now() - job.timestamp < soonMs;
  return tracing.span({
    name: `process ${upstream}`,
    kind: 'consumer',
    ...(isPart ? { parent: trace } : { link: trace }),
    attributes: {
      'messaging.system': 'bullmq',
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'process',
      'messaging.destination.name': upstream,
      'messaging.message.id': job.id,
      'messaging.client.id': workerId,
      'recloser.operation': operation,
      'recloser.attempts_made': job.attemptsMade,
      'recloser.deferrals': deferrals,
    },
  });
}

/** Starts the span of an attempt. It includes a sign-in that the attempt needs. */
export function traceAttempt(
  { tracing, upstream }: { tracing: Tracing; upstream: string },
  call: Pick<Call, 'job' | 'operation' | 'turn'>,
  { permit, label }: { readonly permit: Permit; readonly label: string },
): Span {
  return tracing.span({
    name: `${label}${call.operation.name}`,
    kind: 'client',
    parent: call.turn.headers,
    attributes: {
      'recloser.upstream': upstream,
      'recloser.operation': call.operation.name,
      'recloser.breaker.generation': permit.generation,
      'recloser.trial': permit.trial,
      'http.request.resend_count': call.job.attemptsMade || undefined,
    },
  });
}

export function endAttempt(
  span: Span,
  shown: {
    readonly outcome: string;
    readonly health: string;
    readonly code?: string | undefined;
    readonly status?: number | undefined;
  },
): void {
  const { outcome, health, code, status } = shown;
  span.set({
    'recloser.outcome': outcome,
    'recloser.health': health,
    'http.response.status_code': status,
  });
  if (code !== undefined) span.fail(code);
  span.end();
}
