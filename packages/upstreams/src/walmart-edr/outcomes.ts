/** Walmart EDR's own outcomes and their messages. */
import type { Health } from '@recloser/runtime/values/health';
import type { Failure, Outcome } from '../contract/upstream.ts';
import { type FailedOutcome, outcomesOf } from '../http/outcomes.ts';

export const outcomes = outcomesOf('Walmart EDR', {
  not_found: 'Walmart EDR has no event with this id.',
  other_event: 'Walmart EDR returned the report of a different event.',
  forbidden: 'Walmart EDR does not allow this request, although the sign-in is valid.',
  renewal_paused: 'The last renewal of the app token failed. The next one has to wait.',
});

/** There is no session. */
export const signInCode = 'sign_in_required';
/** The bot defence answered. */
export const challengedCode = 'sign_in_challenged';

const signInReason =
  'Walmart EDR requires a sign-in with a text-message code. An operator enters the code on the admin page /sign-in/walmart-edr.';
const challengedReason =
  'The bot defence of Walmart EDR challenged the request. An operator must sign in with a text-message code on the admin page /sign-in/walmart-edr.';

/** A `sign-in` hold until a person signs in. `session`: the one that has ended. */
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

/** The session ended while a person signed in: try again at once with the new session. */
export const signedInMeanwhile: FailedOutcome = {
  kind: 'snooze',
  health: 'unknown',
  code: 'signed_in_meanwhile',
  message: 'A person signed in to Walmart EDR during this attempt.',
  hold: { kind: 'rate-limit', delayMs: 1_000, reason: 'A person just signed in to Walmart EDR.' },
};

/** A 403 for one request in a session that was just renewed. */
export const forbidden: Outcome = outcomes.reject('up', { code: 'forbidden', status: 403 });

/** The stored call does not match the definition. Another release may have stored it. */
export const invalidInput: Outcome = {
  kind: 'reject',
  health: 'unknown',
  code: 'invalid_input',
  message: 'Walmart EDR has no such operation, or the input is invalid.',
};

export const notVerifiable: Exclude<Outcome, { kind: 'done' }> = {
  kind: 'reject',
  health: 'unknown',
  code: 'not_verifiable',
  message: 'All operations of Walmart EDR are reads. There is nothing to verify.',
};

/** The attempt ended while it waited for the renewal of the token. */
export function givenUp(cause: 'timeout' | 'aborted'): Failure<'retry', Health> {
  return cause === 'timeout'
    ? { kind: 'retry', health: 'down', code: 'timeout', message: 'The renewal of the app token timed out.' }
    : { kind: 'retry', health: 'unknown', code: 'aborted', message: 'The attempt was aborted.' };
}
