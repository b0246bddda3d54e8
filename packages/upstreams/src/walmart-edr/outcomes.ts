/**
 * The outcomes of attempts that ended on the session or on ourselves, in words for an operator.
 *
 * Always true: none of them counts as a failure of the upstream, except one that waited for it in vain.
 */

import type { Health } from '@recloser/runtime/values/health';
import type { Failure, Outcome } from '../contract/upstream.ts';
import { type FailedOutcome, outcomesOf } from '../http/outcomes.ts';

/** Walmart EDR's outcomes. */
export const outcomes = outcomesOf('Walmart EDR', {
  not_found: 'Walmart EDR knows no such event.',
  other_event: 'The report is of another event than was asked for.',
  forbidden: 'Walmart EDR does not allow this request, although the sign-in is valid.',
  renewal_paused: 'The last renewal of the app token did not work; the next one has to wait.',
});

/** There is no session, or there is one no longer. */
export const signInCode = 'sign_in_required';
/** The bot defence answered instead of Walmart EDR. */
export const challengedCode = 'sign_in_challenged';

const signInReason =
  "Walmart EDR needs a sign-in with a text-message code: an operator opens the admin app's page /sign-in/walmart-edr and enters the code.";
const challengedReason =
  "The login to Walmart EDR was challenged by its bot defence, so a person is needed: an operator opens the admin app's page /sign-in/walmart-edr and enters the code.";

/** Waits, with the whole queue, for a person to sign in. Spends no attempt. `session`: the one that is over. */
export function needsSignIn(
  code: string,
  { session, status }: { readonly session?: string; readonly status?: number },
): FailedOutcome {
  const known = code === challengedCode ? challengedCode : signInCode;
  const reason = known === challengedCode ? challengedReason : signInReason;
  return {
    kind: 'snooze',
    health: 'unknown',
    code: known,
    message: reason,
    ...(status !== undefined && { status }),
    hold: { kind: 'sign-in', reason, ...(session !== undefined && { session }) },
  };
}

/** Our session ended at the moment a person signed in: come back at once, with the new one. */
export const signedInMeanwhile: FailedOutcome = {
  kind: 'snooze',
  health: 'unknown',
  code: 'signed_in_meanwhile',
  message: 'A person signed in to Walmart EDR during this attempt.',
  hold: { kind: 'rate-limit', delayMs: 1_000, reason: 'A person has just signed in to Walmart EDR.' },
};

/** A session that was renewed a moment ago is refused for this request alone. */
export const forbidden: Outcome = outcomes.reject('up', { code: 'forbidden', status: 403 });

/** The call does not fit the definition: stored by another release, perhaps. */
export const invalidInput: Outcome = {
  kind: 'reject',
  health: 'unknown',
  code: 'invalid_input',
  message: 'Walmart EDR has no such operation, or its input is not valid.',
};

/** Every operation is a read: there is nothing to read back. */
export const notVerifiable: Exclude<Outcome, { kind: 'done' }> = {
  kind: 'reject',
  health: 'unknown',
  code: 'not_verifiable',
  message: 'Walmart EDR operations are reads: there is nothing to verify.',
};

/** The attempt ended while it waited for the token to be renewed. */
export function givenUp(cause: 'timeout' | 'aborted'): Failure<'retry', Health> {
  return cause === 'timeout'
    ? { kind: 'retry', health: 'down', code: 'timeout', message: 'Renewing the app token took too long.' }
    : { kind: 'retry', health: 'unknown', code: 'aborted', message: 'The attempt was given up.' };
}
