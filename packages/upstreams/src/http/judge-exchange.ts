/**
 * The one judge of what an exchange showed, for all upstreams. Pure. The table in docs/in-doubt.md says the same.
 *
 * Always true:
 * - only the API's own answer can refuse a request; a page is judged by where it stands, never by its words;
 * - a write is proved not done only by: nothing was sent, 401, 429, 307, 308, and the API's own 4xx. Where the proof
 *   depends on the session (a 403 page, a redirect to the login), the caller gets `signed_out` and must look;
 * - a status that arrived counts even when its body did not.
 */

import type { Health } from '@recloser/runtime/values/health';
import type { Answer, BodyLoss, Exchange, NoAnswer, NotSent } from './http.ts';
import type { ExchangeCode, FailedOutcome, Outcomes } from './outcomes.ts';
import { isLabelledJson, ownBody } from './own-answer.ts';
import { requestedPauseMs } from './retry-after.ts';

/** What an upstream adds to the judge: how its own pages are recognised, and its title in messages. */
export type Dialect = {
  readonly outcomes: Outcomes<ExchangeCode>;
  /** A complete login page. */
  readonly isLoginPage: (answer: Answer) => boolean;
  /** A redirect to the login. */
  readonly leadsToLogin: (answer: Answer) => boolean;
  /** The page of a bot defence. */
  readonly isChallenge?: (answer: Answer) => boolean;
};

export type Question = {
  readonly dialect: Dialect;
  /** `write`: what may have been done must not be sent again blindly. */
  readonly sending: 'read' | 'write';
  readonly nowMs: number;
};

/** The API's own answer, 2xx or 4xx. `body` undefined: it had none, or only its status arrived. */
export type OwnAnswer = { readonly kind: 'own'; readonly status: number; readonly body: unknown };

/**
 * The session seems to be over.
 * - `certain`: the API itself says so; a write was not done.
 * - `redirect`: a redirect to the login. A write was not done if the session is over.
 * - `page`: a 403 page, which may come from anybody. A write was not done if the session is over.
 * - `challenge`: the page of a bot defence: only a person can go on. Says nothing about a write.
 * - `cookies`: our cookies are too large for the upstream. Says nothing about a write.
 */
export type SignedOut = {
  readonly kind: 'signed_out';
  readonly status: number;
  readonly sign: 'certain' | 'redirect' | 'page' | 'challenge' | 'cookies';
};

export type Judged = OwnAnswer | SignedOut | FailedOutcome;

const defaultRateLimitMs = 5_000;
/** From this size on a 400 may be about our cookies. */
const largeCookiesBytes = 2_000;

/** Errors of this machine: no descriptors, ports, buffers, memory or leave to connect; a refused proxy tunnel. */
const localCodes = new Set([
  ...['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EACCES', 'EPERM'],
  ...['EAI_MEMORY', 'EAI_SYSTEM', 'ERR_PROXY_TUNNEL'],
]);

/** Judges one exchange. */
export function judgeExchange(exchange: Exchange, question: Question): Judged {
  switch (exchange.kind) {
    case 'not_sent':
      return judgeNotSent(exchange, question);
    case 'no_answer':
      return judgeNoAnswer(exchange, question);
    case 'answer':
      return judgeAnswer(exchange, question);
    default:
      return exchange satisfies never;
  }
}

function judgeNotSent({ code }: NotSent, { dialect: { outcomes } }: Question): FailedOutcome {
  if (code === 'ERR_ABORTED') return outcomes.retry('unknown', { code: 'aborted' });
  if (code === 'ERR_TOO_LATE') return outcomes.local({ code: 'too_late' });
  if (localCodes.has(code)) return outcomes.local({ code: 'local_network' });
  return outcomes.retry('down', { code: 'unreachable' });
}

const noAnswerCodes = { timeout: 'timeout', reset: 'connection_lost', aborted: 'aborted' } as const;

function judgeNoAnswer({ cause, code }: NoAnswer, question: Question): FailedOutcome {
  const { outcomes } = question.dialect;
  if (localCodes.has(code)) {
    const facts = { code: 'local_network' } as const;
    return question.sending === 'read' ? outcomes.local(facts) : outcomes.inDoubt('unknown', facts);
  }
  return lost(question, cause === 'aborted' ? 'unknown' : 'down', { code: noAnswerCodes[cause] });
}

function judgeAnswer(answer: Answer, question: Question): Judged {
  const { status } = answer;
  const { outcomes } = question.dialect;
  if (status === 429 || status === 503) {
    const paused = judgePause(answer, question);
    if (paused) return paused;
  }
  if (status === 401) return { kind: 'signed_out', status, sign: 'certain' };
  if (status >= 500 || status === 408 || status === 425) {
    return lost(question, 'down', { code: 'upstream_error', status });
  }
  if (isAboutCookies(answer)) return { kind: 'signed_out', status, sign: 'cookies' };
  if (status >= 300 && status < 400) return judgeRedirect(answer, question);
  if (question.dialect.isChallenge?.(answer)) {
    return { kind: 'signed_out', status, sign: 'challenge' };
  }
  if (status >= 400) return judgeRefusal(answer, question);
  const own = ownBody(answer);
  if (own) return { kind: 'own', status, body: own.value };
  if (answer.bodyLost !== undefined) return judgeLostBody(answer, answer.bodyLost, question);
  if (question.dialect.isLoginPage(answer)) {
    if (question.sending === 'read') return { kind: 'signed_out', status, sign: 'certain' };
    return outcomes.inDoubt('unknown', { code: 'login_page', status }, true);
  }
  return lost(question, 'down', { code: 'unreadable_answer', status });
}

/** A pause that the upstream asks for. After a 503 a write may have been done all the same. */
function judgePause({ status, headers }: Answer, question: Question): FailedOutcome | null {
  const { dialect, nowMs, sending } = question;
  const pauseMs = requestedPauseMs(headers['retry-after'], nowMs);
  if (status === 429) {
    return dialect.outcomes.rateLimit(pauseMs ?? defaultRateLimitMs, { code: 'rate_limited', status });
  }
  if (pauseMs === null) return null;
  return sending === 'read'
    ? dialect.outcomes.rateLimit(pauseMs, { code: 'unavailable', status })
    : dialect.outcomes.inDoubt('unknown', { code: 'upstream_error', status });
}

function judgeRedirect(answer: Answer, question: Question): SignedOut | FailedOutcome {
  const { status } = answer;
  // These two ask for the same request at another address: it was not carried out at this one.
  const notDone = status === 307 || status === 308;
  if (question.dialect.leadsToLogin(answer)) {
    return { kind: 'signed_out', status, sign: notDone ? 'certain' : 'redirect' };
  }
  const facts = { code: 'unexpected_redirect', status } as const;
  return notDone ? question.dialect.outcomes.retry('down', facts) : ended(question, 'down', facts);
}

/** A 4xx that the judge has no other rule for: the API's own no, or a page. */
function judgeRefusal(answer: Answer, question: Question): OwnAnswer | SignedOut | FailedOutcome {
  const { status } = answer;
  const own = ownBody(answer) ?? (isLabelledJson(answer) && answer.bodyLost ? { value: undefined } : null);
  if (status === 403) return { kind: 'signed_out', status, sign: own ? 'certain' : 'page' };
  if (own) return { kind: 'own', status, body: own.value };
  return ended(question, 'down', { code: 'not_own_answer', status });
}

function judgeLostBody({ status }: Answer, why: BodyLoss, question: Question): FailedOutcome {
  if (why !== 'too_large') {
    return lost(question, why === 'aborted' ? 'unknown' : 'down', { code: noAnswerCodes[why], status });
  }
  const { dialect, sending } = question;
  const facts = { code: 'unexpected_answer', status } as const;
  return sending === 'read' ? dialect.outcomes.reject('up', facts) : dialect.outcomes.inDoubt('up', facts);
}

/** 431, or a 400 page about the size of headers. */
function isAboutCookies(answer: Answer): boolean {
  const { status, cookieBytes = 0 } = answer;
  if (status === 431) return true;
  return (
    status === 400 &&
    cookieBytes >= largeCookiesBytes &&
    ownBody(answer) === null &&
    (answer.bodyLost !== undefined || /cookie|header/i.test(answer.body))
  );
}

type Facts = { readonly code: ExchangeCode; readonly status?: number };

/** No proof either way, and the request may still be worked on. */
function lost({ dialect: { outcomes }, sending }: Question, health: Health, facts: Facts): FailedOutcome {
  return sending === 'read' ? outcomes.retry(health, facts) : outcomes.inDoubt(health, facts);
}

/** No proof either way, after a redirect or a refusal: whoever gave it is done with the request. */
function ended({ dialect: { outcomes }, sending }: Question, health: Health, facts: Facts): FailedOutcome {
  return sending === 'read' ? outcomes.retry(health, facts) : outcomes.inDoubt(health, facts, true);
}
