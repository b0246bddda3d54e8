/** Crossmark's own outcome codes and their messages, in addition to those of every exchange. */
import { type ExchangeCode, outcomesOf } from '../http/outcomes.ts';

const crossmarkMessages = {
  incomplete_list: 'Crossmark announced more rows than it returned.',
  not_echoed: 'Crossmark reported success, but returned different ids from those requested.',
  not_confirmed: 'Crossmark answered, but did not confirm the write.',
  upstream_refused: 'Crossmark refused the request (ok was not 1).',
  invalid_input: 'The stored input no longer matches the schema of the operation.',
  unknown_operation: 'Crossmark has no operation of this name.',
  signed_out_again: 'Crossmark reports "signed out" right after a successful sign-in.',
  session_replaced: 'Two sessions in a row had expired.',
  sign_in_refused: 'Crossmark refused the user name or password.',
  sign_in_failed: 'The sign-in to Crossmark failed: Crossmark did not answer as expected.',
  sign_in_paused: 'The last sign-in to Crossmark failed. The next one has to wait.',
  sign_in_limit: 'The limit of sign-ins to Crossmark is reached.',
  sign_in_timeout: 'The attempt timed out while it waited for the sign-in to Crossmark.',
} as const;

export type OutcomeCode = ExchangeCode | keyof typeof crossmarkMessages;

export const outcomes = outcomesOf('Crossmark', crossmarkMessages);
