/** Every code an attempt at Crossmark can end with beside those of any exchange, and what it says. */
import { type ExchangeCode, outcomesOf } from '../http/outcomes.ts';

/** Code → the message shown with it. */
const crossmarkMessages = {
  incomplete_list: 'Crossmark announced more rows than it gave.',
  not_echoed: 'Crossmark says it is done, but answered with other ids than those asked for.',
  not_confirmed: 'Crossmark answered without saying whether it was done.',
  upstream_refused: 'Crossmark understood the request and refused it (ok was not 1).',
  invalid_input: 'The stored input does not fit the operation any more.',
  unknown_operation: 'Crossmark has no operation of this name.',
  signed_out_again: 'Crossmark still says signed out right after a sign-in.',
  session_replaced: 'Two sessions in a row had ended.',
  sign_in_refused: 'Crossmark refused the user name or password.',
  sign_in_failed: 'The sign-in to Crossmark did not work, because Crossmark did not answer properly.',
  sign_in_paused: 'The last sign-in to Crossmark did not work; the next one has to wait.',
  sign_in_limit: 'There were as many sign-ins to Crossmark as are allowed in this time.',
  sign_in_timeout: 'There was no time left to wait for the sign-in to Crossmark.',
} as const;

/** A code that an attempt at Crossmark can end with. */
export type OutcomeCode = ExchangeCode | keyof typeof crossmarkMessages;

/** Crossmark's outcomes. */
export const outcomes = outcomesOf('Crossmark', crossmarkMessages);
