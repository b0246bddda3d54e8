/** The outcomes of a failed exchange. Their messages are fixed texts, so that no address, name or secret leaks. */
import type { Health } from '@recloser/runtime/values/health';
import type { Outcome } from '../contract/upstream.ts';

/** An outcome of an attempt that did not succeed. */
export type FailedOutcome = Exclude<Outcome, { kind: 'done' }>;

/** The messages of every upstream's exchanges by code. `{title}` is the upstream's title. */
export const exchangeMessages = {
  unreachable: '{title} could not be reached. Nothing was sent.',
  local_network: 'This machine could not open a connection to {title}.',
  too_late: 'The worker was delayed before it sent the request. Nothing was sent.',
  timeout: '{title} did not answer in time.',
  connection_lost: 'The connection broke before {title} answered.',
  aborted: 'The attempt was aborted before {title} answered.',
  upstream_error: '{title} answered with a server error.',
  not_own_answer: 'The answer was a page, not an API response from {title}.',
  login_page: '{title} answered with its login page.',
  unreadable_answer: 'The answer from {title} was unreadable: not JSON, or incomplete.',
  unexpected_answer: 'The answer from {title} does not match the expected schema.',
  unexpected_redirect: '{title} answered with an unexpected redirect.',
  cookies_too_large: '{title} refused the request because the session cookies are too large.',
  rate_limited: '{title} rate-limited the request.',
  unavailable: '{title} is temporarily unavailable.',
  request_refused: '{title} rejected the request as invalid.',
} as const;

export type ExchangeCode = keyof typeof exchangeMessages;

type Facts<Code> = { readonly code: Code; readonly status?: number };

/** Builds outcomes with these codes. */
export type Outcomes<Code extends string> = {
  /** Try again after the usual backoff. */
  retry(health: Health, facts: Facts<Code>): FailedOutcome;
  /** The request will never succeed as it is. */
  reject(health: 'up' | 'unknown', facts: Facts<Code>): FailedOutcome;
  /** The write may have been done. `ended`: the upstream has finished with the request, so nothing can land later. */
  inDoubt(health: Health, facts: Facts<Code>, ended?: boolean): FailedOutcome;
  /** Try again after `delayMs`, which the upstream requested. */
  rateLimit(delayMs: number, facts: Facts<Code>): FailedOutcome;
  /** Try again when the sign-in works. `forMs`: the hold ends by itself after this time. */
  signInHold(reason: string, facts: Facts<Code>, forMs?: number): FailedOutcome;
  /** A local fault. No attempt is spent. */
  local(facts: Facts<Code>): FailedOutcome;
};

/** The outcomes of one upstream: the common codes, and its `own` codes with their messages. */
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
