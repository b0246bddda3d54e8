/**
 * The outcomes of an exchange that did not work, in fixed words: no address, name or secret can get into a message.
 */
import type { Health } from '@recloser/runtime/values/health';
import type { Outcome } from '../contract/upstream.ts';

/** An outcome of an attempt that got nowhere. */
export type FailedOutcome = Exclude<Outcome, { kind: 'done' }>;

/** What any upstream's exchange can come to. `{title}` is the upstream's title. */
export const exchangeMessages = {
  unreachable: '{title} could not be reached; nothing was sent.',
  local_network: 'This machine could not open a connection to {title}.',
  too_late: 'The worker was held up before the request left; nothing was sent.',
  timeout: '{title} did not answer in time.',
  connection_lost: 'The connection broke before {title} answered.',
  aborted: 'The attempt was given up before {title} answered.',
  upstream_error: '{title} answered with a server error.',
  not_own_answer: 'A page came instead of an answer of {title}.',
  login_page: '{title} answered with its login page.',
  unreadable_answer: 'The answer of {title} was not readable: no JSON, or only a part of it.',
  unexpected_answer: 'The answer of {title} does not have the expected form.',
  unexpected_redirect: '{title} pointed to another page instead of answering.',
  cookies_too_large: '{title} refused the size of the session cookies.',
  rate_limited: '{title} asked for a pause.',
  unavailable: '{title} says it is unavailable for a time.',
  request_refused: '{title} refused the request as wrong.',
} as const;

export type ExchangeCode = keyof typeof exchangeMessages;

type Facts<Code> = { readonly code: Code; readonly status?: number };

/** Makes outcomes with these codes. */
export type Outcomes<Code extends string> = {
  /** Come again after the usual backoff. */
  retry(health: Health, facts: Facts<Code>): FailedOutcome;
  /** It will never work as asked. */
  reject(health: 'up' | 'unknown', facts: Facts<Code>): FailedOutcome;
  /** It may have been done. `ended`: the upstream is done with the request, so nothing can land later. */
  inDoubt(health: Health, facts: Facts<Code>, ended?: boolean): FailedOutcome;
  /** Come again when the pause that the upstream asked for is over. */
  rateLimit(delayMs: number, facts: Facts<Code>): FailedOutcome;
  /** Come again when the sign-in works; `forMs` if it may mend itself. */
  signInHold(reason: string, facts: Facts<Code>, forMs?: number): FailedOutcome;
  /** A fault of this machine: the call comes back unspent. */
  local(facts: Facts<Code>): FailedOutcome;
};

/** Outcomes in the words of one upstream: those of every exchange, and `own` ones. */
export function outcomesOf<Own extends Readonly<Record<string, string>>>(
  title: string,
  own: Own,
): Outcomes<ExchangeCode | (keyof Own & string)> {
  type Code = ExchangeCode | (keyof Own & string);
  const texts: Readonly<Record<string, string>> = { ...exchangeMessages, ...own };
  const described = ({ code, status }: Facts<Code>) => ({
    code,
    message: (texts[code] ?? code).replaceAll('{title}', title),
    ...(status !== undefined && { status }),
  });
  return {
    retry: (health, facts) => ({ kind: 'retry', health, ...described(facts) }),
    reject: (health, facts) => ({ kind: 'reject', health, ...described(facts) }),
    inDoubt: (health, facts, ended = false) => ({
      kind: 'in_doubt',
      health,
      ...described(facts),
      ...(ended && { ended }),
    }),
    rateLimit: (delayMs, facts) => {
      const { message } = described(facts);
      const hold = { kind: 'rate-limit', delayMs, reason: message } as const;
      return { kind: 'snooze', health: 'unknown', hold, ...described(facts) };
    },
    signInHold: (reason, facts, forMs) => {
      const hold = { kind: 'sign-in', reason, ...(forMs !== undefined && { forMs }) } as const;
      return { kind: 'snooze', health: 'unknown', hold, ...described(facts) };
    },
    local: (facts) => ({ kind: 'snooze', health: 'unknown', hold: null, ...described(facts) }),
  };
}
