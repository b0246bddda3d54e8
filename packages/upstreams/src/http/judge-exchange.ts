/**
 * Judges what an exchange showed, for all upstreams. Pure. docs/in-doubt.md has the same rules as a table.
 *
 * Only the API's own answer can reject a request. Where the proof that a write was not done depends on the session (a
 * 403 page, a redirect to the login), the result is `signed_out` and the caller must check the session.
 */
import type { Health } from '@recloser/runtime/values/health';
import type { Answer, BodyLoss, Exchange, NoAnswer, NotSent } from './http.ts';
import type { ExchangeCode, FailedOutcome, Outcomes } from './outcomes.ts';
import { isLabelledJson, ownBody } from './own-answer.ts';
import { requestedPauseMs } from './retry-after.ts';

/** What differs between upstreams: how to recognise their pages, and the messages of their outcomes. */
export type Dialect = {
  readonly outcomes: Outcomes<ExchangeCode>;
  /** True for a complete login page. */
  readonly isLoginPage: (answer: Answer) => boolean;
  /** True for a redirect to the login. */
  readonly leadsToLogin: (answer: Answer) => boolean;
  /** True for a page of a bot defence. */
  readonly isChallenge?: (answer: Answer) => boolean;
};

export type Question = {
  readonly dialect: Dialect;
  /** An ambiguous `write` is `in_doubt`, an ambiguous `read` is a `retry`. */
  readonly sending: 'read' | 'write';
  readonly nowMs: number;
};

/** The API's own answer, 2xx or 4xx. `body` is undefined if it had none or if only its status arrived. */
export type OwnAnswer = { readonly kind: 'own'; readonly status: number; readonly body: unknown };

/**
 * The session seems to have ended.
 * - `certain`: the API reports it. A write was not done.
 * - `redirect`: a redirect to the login. A write was not done if the session has ended.
 * - `page`: a 403 page, which may come from a proxy. A write was not done if the session has ended.
 * - `challenge`: a page of a bot defence. Only a person can sign in. Proves nothing about a write.
 * - `cookies`: our cookies are too large for the upstream. Proves nothing about a write.
 */
export type SignedOut = {
  readonly kind: 'signed_out';
  readonly status: number;
  readonly sign: 'certain' | 'redirect' | 'page' | 'challenge' | 'cookies';
};

export type Judged = OwnAnswer | SignedOut | FailedOutcome;

const defaultRateLimitMs = 5_000;
/** From this size on, a 400 may be caused by our cookies. */
const largeCookiesBytes = 2_000;

/** Local faults: no descriptors, ports, buffers, memory or permission to connect; a refused proxy tunnel. */
const localCodes = new Set([
  ...['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EACCES', 'EPERM'],
  ...['EAI_MEMORY', 'EAI_SYSTEM', 'ERR_PROXY_TUNNEL'],
]);

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

/** Judges 429, and 503 with `Retry-After`. After a 503 a write may still have been done. */
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
  // RFC 9110: 307 and 308 ask for the same request at another address, so this one was not carried out.
  const notDone = status === 307 || status === 308;
  if (question.dialect.leadsToLogin(answer)) {
    return { kind: 'signed_out', status, sign: notDone ? 'certain' : 'redirect' };
  }
  const facts = { code: 'unexpected_redirect', status } as const;
  return notDone ? question.dialect.outcomes.retry('down', facts) : ended(question, 'down', facts);
}

/** Judges any other 4xx: the API's own refusal, or a page. */
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

/** True for 431, and for a 400 page about the size of headers. */
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

/** No proof either way. The upstream may still be processing the request. */
function lost({ dialect: { outcomes }, sending }: Question, health: Health, facts: Facts): FailedOutcome {
  return sending === 'read' ? outcomes.retry(health, facts) : outcomes.inDoubt(health, facts);
}

/** No proof either way, but a redirect or a refusal ends the processing of the request. */
function ended({ dialect: { outcomes }, sending }: Question, health: Health, facts: Facts): FailedOutcome {
  return sending === 'read' ? outcomes.retry(health, facts) : outcomes.inDoubt(health, facts, true);
}
