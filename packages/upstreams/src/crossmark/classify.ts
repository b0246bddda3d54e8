/** Classifies Crossmark's answers, after the shared judge. Pure. A write is `done` only if the answer proves it. */
import type { z } from 'zod';
import type { Outcome } from '../contract/upstream.ts';
import type { Exchange } from '../http/http.ts';
import { type Dialect, judgeExchange, type OwnAnswer, type SignedOut } from '../http/judge-exchange.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import { asksForPassword } from '../http/own-answer.ts';
import type { CrossmarkInput, CrossmarkResult } from './definition.ts';
import { outcomes } from './outcome-codes.ts';
import { scheduleAnswer, verdictAnswer } from './wire.ts';

export type ReadValue<T> = { readonly kind: 'value'; readonly value: T; readonly status: number };

export const crossmarkDialect: Dialect = {
  outcomes,
  isLoginPage: asksForPassword,
  leadsToLogin: ({ location = '' }) => /login/i.test(location),
};

/** Classifies the answer to a read by its schema. */
export function classifyRead<T>(
  exchange: Exchange,
  schema: z.ZodType<T>,
  nowMs: number,
): ReadValue<T> | SignedOut | FailedOutcome {
  const judged = judge(exchange, 'read', nowMs);
  if (judged.kind !== 'own') return judged;
  const { status } = judged;
  const parsed = schema.safeParse(judged.body);
  if (!parsed.success) return outcomes.reject('up', { code: 'unexpected_answer', status });
  return { kind: 'value', value: parsed.data, status };
}

/** Classifies the answer to scheduleMplanEvent: `done` only if it echoes the three ids. */
export function classifySchedule(
  exchange: Exchange,
  input: CrossmarkInput<'schedule-event'>,
  nowMs: number,
): Outcome | SignedOut {
  const judged = judge(exchange, 'write', nowMs);
  if (judged.kind !== 'own') return judged;
  const { status } = judged;
  const parsed = scheduleAnswer.safeParse(judged.body);
  if (!parsed.success) return outcomes.inDoubt('up', { code: 'unexpected_answer', status });
  const event = parsed.data.MVScheduledEvent;
  const echoed =
    event.RepID === input.repId && event.mPlanID === input.mPlanId && event.LocationID === input.locationId;
  if (!echoed) return outcomes.inDoubt('up', { code: 'not_echoed', status });
  const result: CrossmarkResult<'schedule-event'> = { scheduleEventId: event.ID, ...input };
  return { kind: 'done', health: 'up', result, status };
}

/**
 * Classifies the answer to deleteScheduledMplanEvent. Its body is unknown: unless it confirms, the read-back decides.
 */
export function classifyUnschedule(
  exchange: Exchange,
  input: CrossmarkInput<'unschedule-event'>,
  nowMs: number,
): Outcome | SignedOut {
  const judged = judge(exchange, 'write', nowMs);
  if (judged.kind !== 'own') return judged;
  const { status } = judged;
  if (!isConfirmed(judged.body)) return outcomes.inDoubt('up', { code: 'not_confirmed', status });
  const result: CrossmarkResult<'unschedule-event'> = { scheduleEventId: input.scheduleEventId };
  return { kind: 'done', health: 'up', result, status };
}

/** Classifies the answer to createPendingWork: any 2xx object that is no refusal. See "Reissue an item". */
export function classifyReissue(exchange: Exchange, nowMs: number): Outcome | SignedOut {
  const judged = judge(exchange, 'write', nowMs);
  if (judged.kind !== 'own') return judged;
  const { status } = judged;
  if (!verdictAnswer.safeParse(judged.body).success) {
    return outcomes.inDoubt('up', { code: 'unexpected_answer', status });
  }
  const result: CrossmarkResult<'reissue-event'> = { accepted: true };
  return { kind: 'done', health: 'up', result, status };
}

/** The API's own 2xx answer, unless it is a refusal. */
function judge(
  exchange: Exchange,
  sending: 'read' | 'write',
  nowMs: number,
): OwnAnswer | SignedOut | FailedOutcome {
  const judged = judgeExchange(exchange, { dialect: crossmarkDialect, sending, nowMs });
  if (judged.kind !== 'own') return judged;
  const { status, body } = judged;
  if (status >= 400) return outcomes.reject('up', { code: 'request_refused', status });
  return isRefusal(body) ? outcomes.reject('up', { code: 'upstream_refused', status }) : judged;
}

const yes: readonly unknown[] = [1, '1', true];

/** True if `ok` is present and not 1, or `success` is present and not true. */
function isRefusal(body: unknown): boolean {
  const parsed = verdictAnswer.safeParse(body);
  if (!parsed.success) return false;
  const { ok, success } = parsed.data;
  return (ok !== undefined && !yes.includes(ok)) || (success !== undefined && !yes.includes(success));
}

/** True if `ok` is 1 or `success` is true. */
function isConfirmed(body: unknown): boolean {
  const parsed = verdictAnswer.safeParse(body);
  return parsed.success && (yes.includes(parsed.data.ok) || yes.includes(parsed.data.success));
}
