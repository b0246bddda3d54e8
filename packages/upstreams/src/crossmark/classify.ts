/**
 * What Crossmark's answers mean: the only judge of them. Pure.
 *
 * Always true:
 * - JSON is known by parsing, never by content type: Crossmark sends JSON as text/html;
 * - a write is `done` only when the answer proves it; a request that may have left and has no such answer is
 *   `in_doubt`, even after a 503, because a server can do the work and then fail;
 * - `not_sent`, 429 and signed-out answers prove that a write was not done.
 */
import type { z } from 'zod';
import type { Health, Outcome } from '../contract/upstream.ts';
import type { Answer, Exchange, NoAnswer, NotSent } from '../http/http.ts';
import { retryAfterMs } from '../http/retry-after.ts';
import type { FailedOutcome } from '../session/store.ts';
import type { CrossmarkInput, CrossmarkResult } from './definition.ts';
import {
  inDoubtOutcome,
  type OutcomeCode,
  rateLimitOutcome,
  rejectOutcome,
  retryOutcome,
} from './outcome-codes.ts';
import { scheduleAnswer, verdictAnswer } from './wire.ts';

/** The session is over. The client signs in and makes the same attempt again. */
export type SignedOut = { readonly kind: 'signed_out'; readonly status: number };

/** A read that worked. */
export type ReadValue<T> = { readonly kind: 'value'; readonly value: T; readonly status: number };

type Json = { readonly kind: 'json'; readonly body: unknown; readonly status: number };

/** `repeat`: sending it again does no harm. `once`: what may have been done must not be sent again blindly. */
type Sending = 'repeat' | 'once';

const defaultRateLimitMs = 5_000;

/** Judges an answer to a read by the schema of its body. */
export function classifyRead<T>(
  exchange: Exchange,
  schema: z.ZodType<T>,
  nowMs: number,
): ReadValue<T> | SignedOut | FailedOutcome {
  const judged = judge(exchange, 'repeat', nowMs);
  if (judged.kind !== 'json') return judged;
  const { status } = judged;
  if (isRefusal(judged.body)) return rejectOutcome('up', { code: 'upstream_refused', status });
  const parsed = schema.safeParse(judged.body);
  if (!parsed.success) return rejectOutcome('up', { code: 'unexpected_answer', status });
  return { kind: 'value', value: parsed.data, status };
}

/** Judges an answer to scheduleMplanEvent: done only when it echoes the three ids. */
export function classifySchedule(
  exchange: Exchange,
  input: CrossmarkInput<'schedule-event'>,
  nowMs: number,
): Outcome | SignedOut {
  const judged = judge(exchange, 'once', nowMs);
  if (judged.kind !== 'json') return judged;
  const { status } = judged;
  if (isRefusal(judged.body)) return rejectOutcome('up', { code: 'upstream_refused', status });
  const parsed = scheduleAnswer.safeParse(judged.body);
  if (!parsed.success) return inDoubtOutcome('up', { code: 'unexpected_answer', status });
  const event = parsed.data.MVScheduledEvent;
  const echoed =
    event.RepID === input.repId && event.mPlanID === input.mPlanId && event.LocationID === input.locationId;
  if (!echoed) return inDoubtOutcome('up', { code: 'not_echoed', status });
  const result: CrossmarkResult<'schedule-event'> = { scheduleEventId: event.ID, ...input };
  return { kind: 'done', health: 'up', result, status };
}

/** Judges an answer to deleteScheduledMplanEvent. Its body was never recorded: without a yes, the read-back decides. */
export function classifyUnschedule(
  exchange: Exchange,
  input: CrossmarkInput<'unschedule-event'>,
  nowMs: number,
): Outcome | SignedOut {
  const judged = judge(exchange, 'once', nowMs);
  if (judged.kind !== 'json') return judged;
  const { status } = judged;
  if (isRefusal(judged.body)) return rejectOutcome('up', { code: 'upstream_refused', status });
  if (!isConfirmed(judged.body)) return inDoubtOutcome('up', { code: 'not_confirmed', status });
  const result: CrossmarkResult<'unschedule-event'> = { scheduleEventId: input.scheduleEventId };
  return { kind: 'done', health: 'up', result, status };
}

/** Judges an answer to createPendingWork: 200 or 201 with an object whose `success` is absent or true (A2.6). */
export function classifyReissue(exchange: Exchange, nowMs: number): Outcome | SignedOut {
  const judged = judge(exchange, 'once', nowMs);
  if (judged.kind !== 'json') return judged;
  const { status } = judged;
  if (isRefusal(judged.body)) return rejectOutcome('up', { code: 'upstream_refused', status });
  if (!verdictAnswer.safeParse(judged.body).success) {
    return inDoubtOutcome('up', { code: 'unexpected_answer', status });
  }
  const result: CrossmarkResult<'reissue-event'> = { accepted: true };
  return { kind: 'done', health: 'up', result, status };
}

function judge(exchange: Exchange, sending: Sending, nowMs: number): Json | SignedOut | FailedOutcome {
  switch (exchange.kind) {
    case 'not_sent':
      return judgeNotSent(exchange);
    case 'no_answer':
      return judgeNoAnswer(exchange, sending);
    case 'answer':
      return judgeAnswer(exchange, sending, nowMs);
    default:
      return exchange satisfies never;
  }
}

/** Errors of this machine, which say nothing about Crossmark. */
const localCodes = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

function judgeNotSent({ code }: NotSent): FailedOutcome {
  if (code === 'ERR_ABORTED') return retryOutcome('unknown', { code: 'aborted' });
  if (code === 'ERR_TOO_LATE') return retryOutcome('unknown', { code: 'too_late' });
  if (localCodes.has(code)) return retryOutcome('unknown', { code: 'local_network' });
  return retryOutcome('down', { code: 'unreachable' });
}

const noAnswerCodes = { timeout: 'timeout', reset: 'connection_lost', aborted: 'aborted' } as const;

function judgeNoAnswer({ cause }: NoAnswer, sending: Sending): FailedOutcome {
  return lost(sending, cause === 'aborted' ? 'unknown' : 'down', noAnswerCodes[cause]);
}

function judgeAnswer(answer: Answer, sending: Sending, nowMs: number): Json | SignedOut | FailedOutcome {
  const { status } = answer;
  if (isSignedOut(answer)) return { kind: 'signed_out', status };
  const pauseMs = retryAfterMs(answer.headers['retry-after'], nowMs);
  if (status === 429)
    return rateLimitOutcome(pauseMs ?? defaultRateLimitMs, { code: 'rate_limited', status });
  if (status === 503 && pauseMs !== null && sending === 'repeat') {
    return rateLimitOutcome(pauseMs, { code: 'unavailable', status });
  }
  if (status >= 500 || status === 408 || status === 425)
    return lost(sending, 'down', 'upstream_error', status);
  if (status >= 400) return rejectOutcome('up', { code: 'request_refused', status });
  if (status >= 300) return lost(sending, 'down', 'unexpected_redirect', status);
  const body = parseJson(answer.body);
  if (body === undefined) return lost(sending, 'down', 'unreadable_answer', status);
  return { kind: 'json', body, status };
}

function lost(sending: Sending, health: Health, code: OutcomeCode, status?: number): FailedOutcome {
  const facts = { code, ...(status !== undefined && { status }) };
  return sending === 'repeat' ? retryOutcome(health, facts) : inDoubtOutcome(health, facts);
}

/** How an ended session shows (A1, F): 401, 403, a redirect to the login page, or that page with status 200. */
function isSignedOut({ status, location, body }: Answer): boolean {
  if (status === 401 || status === 403) return true;
  if (status >= 300 && status < 400) return /login/i.test(location ?? '');
  return status >= 200 && status < 300 && parseJson(body) === undefined && isLoginPage(body);
}

/** A page that asks for a password, sends the browser to one, or speaks of authentication. */
function isLoginPage(body: string): boolean {
  return (
    /authentication/i.test(body) ||
    /type\s*=\s*["']?password/i.test(body) ||
    /<title>[^<]*(log ?in|sign ?in)/i.test(body) ||
    /(action|href|url|location)\s*=\s*["']?[^"'>\s]*\/login/i.test(body)
  );
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

const yes: readonly unknown[] = [1, '1', true];

/** The answer says no: an `ok` that is not 1, or a `success` that is not true. */
function isRefusal(body: unknown): boolean {
  const parsed = verdictAnswer.safeParse(body);
  if (!parsed.success) return false;
  const { ok, success } = parsed.data;
  return (ok !== undefined && !yes.includes(ok)) || (success !== undefined && !yes.includes(success));
}

/** The answer says yes in so many words. */
function isConfirmed(body: unknown): boolean {
  const parsed = verdictAnswer.safeParse(body);
  return parsed.success && (yes.includes(parsed.data.ok) || yes.includes(parsed.data.success));
}
