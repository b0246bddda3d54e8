/**
 * Every code an attempt at Crossmark can end with, and what it says. The texts are fixed, so no name, address or
 * credential can get into a message.
 */

import type { Health } from '../contract/upstream.ts';
import type { FailedOutcome } from '../session/store.ts';

/** Code → the message shown with it. */
export const outcomeMessages = {
  unreachable: 'Crossmark could not be reached; nothing was sent.',
  local_network: 'This machine could not open a connection; nothing was sent.',
  too_late: 'The worker was held up before the request left; nothing was sent.',
  timeout: 'Crossmark did not answer in time.',
  connection_lost: 'The connection broke before Crossmark answered.',
  aborted: 'The attempt was given up before Crossmark answered.',
  upstream_error: 'Crossmark answered with a server error.',
  unreadable_answer: 'The answer of Crossmark was not readable: no JSON, or only a part of it.',
  unexpected_answer: 'The answer of Crossmark does not have the expected form.',
  unexpected_redirect: 'Crossmark pointed to another page instead of answering.',
  incomplete_list: 'Crossmark announced more rows than it gave.',
  not_echoed: 'Crossmark says it is done, but answered with other ids than those asked for.',
  not_confirmed: 'Crossmark answered without saying whether it was done.',
  rate_limited: 'Crossmark asked for a pause.',
  unavailable: 'Crossmark says it is unavailable for a time.',
  request_refused: 'Crossmark refused the request as wrong.',
  upstream_refused: 'Crossmark understood the request and refused it (ok was not 1).',
  invalid_input: 'The stored input does not fit the operation any more.',
  unknown_operation: 'Crossmark has no operation of this name.',
  signed_out_again: 'Crossmark still says signed out right after a sign-in.',
  sign_in_refused: 'Crossmark refused the user name or password.',
  sign_in_failed: 'The sign-in to Crossmark did not work, because Crossmark did not answer properly.',
  sign_in_rejected: 'Crossmark refused the sign-in request itself; the address may be wrong.',
  sign_in_timeout: 'There was no time left to wait for the sign-in to Crossmark.',
} as const;

/** A code out of `outcomeMessages`. */
export type OutcomeCode = keyof typeof outcomeMessages;

type Facts = { readonly code: OutcomeCode; readonly status?: number };

/** Come again after the usual backoff. */
export function retryOutcome(health: Health, facts: Facts): FailedOutcome {
  return { kind: 'retry', health, ...described(facts) };
}

/** It will never work as asked. */
export function rejectOutcome(health: 'up' | 'unknown', facts: Facts): FailedOutcome {
  return { kind: 'reject', health, ...described(facts) };
}

/** It may have been done. */
export function inDoubtOutcome(health: Health, facts: Facts): FailedOutcome {
  return { kind: 'in_doubt', health, ...described(facts) };
}

/** Come again when the pause that Crossmark asked for is over. */
export function rateLimitOutcome(delayMs: number, facts: Facts): FailedOutcome {
  const hold = { kind: 'rate-limit', delayMs, reason: outcomeMessages[facts.code] } as const;
  return { kind: 'snooze', health: 'unknown', hold, ...described(facts) };
}

/** Come again when a person has mended the sign-in, or after `forMs` if it may mend itself. */
export function signInHoldOutcome(reason: string, facts: Facts, forMs?: number): FailedOutcome {
  return {
    kind: 'snooze',
    health: 'unknown',
    hold: { kind: 'sign-in', reason, ...(forMs !== undefined && { forMs }) },
    ...described(facts),
  };
}

function described({ code, status }: Facts) {
  return { code, message: outcomeMessages[code], ...(status !== undefined && { status }) };
}
