/** What the answers of Parcels mean, after the shared judge has said what the exchange showed. Pure. */
import type { z } from 'zod';
import type { Exchange } from '../http/http.ts';
import { type Dialect, judgeExchange, type SignedOut } from '../http/judge-exchange.ts';
import { type FailedOutcome, outcomesOf } from '../http/outcomes.ts';

/** An answer of the promised form. */
export type Value<T> = { readonly kind: 'value'; readonly value: T; readonly status: number };

/** The outcomes of Parcels. */
export const outcomes = outcomesOf('Parcels', {
  invalid_input: 'The stored input does not fit the operation any more.',
  sign_in_refused: 'Parcels refused the user name or password.',
  sign_in_paused: 'The last sign-in to Parcels did not work; the next one has to wait.',
  sign_in_limit: 'There were as many sign-ins to Parcels as are allowed in this time.',
  sign_in_timeout: 'There was no time left to wait for the sign-in to Parcels.',
  signed_out_again: 'Parcels still says 401 right after a sign-in.',
});

/** Parcels has no pages: a 401 in JSON ends a token. */
const dialect: Dialect = { outcomes, isLoginPage: () => false, leadsToLogin: () => false };

/** Judges an exchange by the schema of its body. `write`: it must not be made again without proof. */
export function classify<T>(
  exchange: Exchange,
  schema: z.ZodType<T>,
  { write, nowMs }: { readonly write: boolean; readonly nowMs: number },
): Value<T> | SignedOut | FailedOutcome {
  const judged = judgeExchange(exchange, { dialect, sending: write ? 'write' : 'read', nowMs });
  if (judged.kind === 'signed_out' && judged.sign !== 'certain') {
    const facts = { code: 'not_own_answer', status: judged.status } as const;
    return write ? outcomes.inDoubt('down', facts, true) : outcomes.retry('down', facts);
  }
  if (judged.kind !== 'own') return judged;
  const { status, body } = judged;
  if (status >= 400) return outcomes.reject('up', { code: 'request_refused', status });
  const parsed = schema.safeParse(body);
  if (parsed.success) return { kind: 'value', value: parsed.data, status };
  const facts = { code: 'unexpected_answer', status } as const;
  return write ? outcomes.inDoubt('up', facts) : outcomes.reject('up', facts);
}

/** The call does not fit the definition: stored by another release, perhaps. */
export const invalidInput: FailedOutcome = outcomes.reject('unknown', { code: 'invalid_input' });
