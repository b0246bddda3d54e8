/**
 * What the answers of Parcels mean: the only judge of them. Pure.
 *
 * Always true: a write that may have left and has no readable answer is `in_doubt`; `not_sent`, 429 and 401 prove
 * that nothing was done.
 */
import type { z } from 'zod';
import type { Health } from '../contract/upstream.ts';
import type { Exchange } from '../http/http.ts';
import { retryAfterMs } from '../http/retry-after.ts';
import type { FailedOutcome } from '../session/store.ts';

/** The token is over: the client signs in and makes the same request again. */
export type SignedOut = { readonly kind: 'signed_out' };

/** An answer of the promised form. */
export type Value<T> = { readonly kind: 'value'; readonly value: T; readonly status: number };

const defaultPauseMs = 5_000;
const localCodes = new Set(['ERR_ABORTED', 'ERR_TOO_LATE', 'EMFILE', 'ENFILE', 'EADDRNOTAVAIL']);

/** Judges an exchange by the schema of its body. `write`: it must not be made again without proof. */
export function classify<T>(
  exchange: Exchange,
  schema: z.ZodType<T>,
  { write, nowMs }: { readonly write: boolean; readonly nowMs: number },
): Value<T> | SignedOut | FailedOutcome {
  const noProof = (health: Health, code: string, status?: number): FailedOutcome =>
    failed(write ? 'in_doubt' : 'retry', health, code, status);
  if (exchange.kind === 'not_sent') {
    return failed('retry', localCodes.has(exchange.code) ? 'unknown' : 'down', 'unreachable');
  }
  if (exchange.kind === 'no_answer') {
    return noProof(exchange.cause === 'aborted' ? 'unknown' : 'down', exchange.cause);
  }
  const { status, headers, body } = exchange;
  if (status === 401) return { kind: 'signed_out' };
  const pauseMs = retryAfterMs(headers['retry-after'], nowMs);
  if (status === 429) return rateLimit(pauseMs ?? defaultPauseMs, status);
  if (status === 503 && pauseMs !== null && !write) return rateLimit(pauseMs, status);
  if (status >= 500 || status === 408 || status === 425) return noProof('down', 'upstream_error', status);
  if (status >= 400) return { ...described('request_refused', status), kind: 'reject', health: 'up' };
  const json = parseJson(body);
  if (status >= 300 || json === undefined) return noProof('down', 'unreadable_answer', status);
  const parsed = schema.safeParse(json);
  if (parsed.success) return { kind: 'value', value: parsed.data, status };
  if (write) return noProof('up', 'unexpected_answer', status);
  return { ...described('unexpected_answer', status), kind: 'reject', health: 'up' };
}

/** The call does not fit the definition: stored by another release, perhaps. */
export const invalidInput: FailedOutcome = {
  ...described('invalid_input'),
  kind: 'reject',
  health: 'unknown',
};

/** Comes again after the backoff (`retry`), or may have been done (`in_doubt`). */
export function failed(
  kind: 'retry' | 'in_doubt',
  health: Health,
  code: string,
  status?: number,
): FailedOutcome {
  return { ...described(code, status), kind, health };
}

/** Waits, with the whole queue, until the sign-in was mended, or for `forMs`. `session`: the one that is over. */
export function signInHold(reason: string, session: string | undefined, forMs?: number): FailedOutcome {
  const hold = { kind: 'sign-in', reason, ...(session && { session }), ...(forMs && { forMs }) } as const;
  return { ...described('sign_in_refused'), kind: 'snooze', health: 'unknown', hold };
}

function rateLimit(delayMs: number, status: number): FailedOutcome {
  const hold = { kind: 'rate-limit', delayMs, reason: 'Parcels asked for a pause.' } as const;
  return { ...described('rate_limited', status), kind: 'snooze', health: 'unknown', hold };
}

/** Fixed texts only: nothing of an answer gets into a message. */
function described(code: string, status?: number) {
  return { code, message: `Parcels: ${code.replaceAll('_', ' ')}.`, ...(status !== undefined && { status }) };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
