/**
 * The only judge of Walmart EDR's answers: what an exchange showed, as an outcome or as a finding about the
 * session. Pure: no I/O, no clock of its own.
 *
 * Always true: being signed out or challenged is never a failure of the upstream; a 200 is believed only
 * after its body parsed as JSON and passed a schema; no body text ever reaches a message.
 */

import type { Failure, Health, Outcome } from '../contract/upstream.ts';
import type { Answer, Exchange } from '../http/http.ts';
import { retryAfterMs } from '../http/retry-after.ts';
import type { walmartEdr } from './definition.ts';
import { browseData, edrReport, saysUnknownEvent } from './wire.ts';

/** The operations there are. */
export type WalmartOperation = keyof typeof walmartEdr.operations;

/** What an exchange showed. Only the client can act on the last two, because it holds the session. */
export type Judgement =
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  /** The session is over, in any of the styles that upstreams.md B1 expects. */
  | { readonly kind: 'signed_out'; readonly status: number }
  /** The bot defence answered: a person has to sign in again, and nothing here may try to get around it. */
  | { readonly kind: 'challenged'; readonly status: number };

/** What the judge must know beside the exchange. */
export type Question = {
  readonly operation: WalmartOperation;
  /** The event asked for, to check that the report is of that event. */
  readonly eventId?: string;
  /** Absolute URL the request went to: relative redirects are resolved against it. */
  readonly requestUrl: string;
  readonly loginBaseUrl: string;
  /** Now in ms, for `Retry-After` given as a date. */
  readonly nowMs: number;
};

const defaultHoldMs = 5_000;

/** Judges one exchange made for an operation. */
export function classify(exchange: Exchange, question: Question): Judgement {
  const fault = judgeFault(exchange, question);
  if (fault) return fault;
  const answer = exchange as Answer;
  if (answer.truncated) return reject(answer, 'unexpected_answer', 'The answer was larger than accepted.');
  const parsed = parseJson(answer.body);
  if (!parsed.ok) {
    return failed(answer, 'unreadable_answer', 'The answer was not the JSON that was expected.');
  }
  return judgeBody(answer, parsed.value, question);
}

/**
 * What an exchange showed as far as any of Walmart's pages can show it: null when it is a 2xx answer with a
 * body that is not a page. Also judges `/EventManagement/api/authenticate`, which has no schema here.
 */
export function judgeFault(
  exchange: Exchange,
  question: Pick<Question, 'requestUrl' | 'loginBaseUrl' | 'nowMs'> & { operation?: WalmartOperation },
): Judgement | null {
  if (exchange.kind !== 'answer') return outcome(withoutAnswer(exchange));
  const { status } = exchange;
  if (status === 429 || status === 503) {
    const delayMs =
      retryAfterMs(exchange.headers['retry-after'], question.nowMs) ??
      (status === 429 ? defaultHoldMs : null);
    if (delayMs !== null) return outcome(rateLimited(status, delayMs));
  }
  if (status === 401) return { kind: 'signed_out', status };
  if (status === 403) return { kind: pageOf(exchange) === 'challenge' ? 'challenged' : 'signed_out', status };
  if (status >= 300 && status < 400) return judgeRedirect(exchange, question);
  if (status >= 500 || status === 408 || status === 425) {
    return failed(exchange, 'upstream_error', `Walmart EDR answered ${status}.`);
  }
  if (status === 404) return reject(exchange, 'not_found', notFoundText(question.operation));
  if (status >= 400)
    return reject(exchange, 'request_refused', `Walmart EDR refused the request (${status}).`);
  return judgePage(exchange);
}

/** A 2xx whose body is a page or nothing; null when the body may be an answer. */
function judgePage(answer: Answer): Judgement | null {
  if (answer.truncated) return null;
  if (answer.body.trim() === '') return failed(answer, 'empty_answer', 'The answer was empty.');
  switch (pageOf(answer)) {
    case 'login':
      return { kind: 'signed_out', status: answer.status };
    case 'challenge':
      return { kind: 'challenged', status: answer.status };
    case 'other':
      return failed(answer, 'html_answer', 'The answer was a page where JSON was expected.');
    case null:
      return null;
  }
}

function judgeRedirect(answer: Answer, question: Pick<Question, 'requestUrl' | 'loginBaseUrl'>): Judgement {
  if (pointsToLogin(answer.location, question)) return { kind: 'signed_out', status: answer.status };
  return failed(answer, 'unexpected_redirect', `Walmart EDR redirected the request (${answer.status}).`);
}

/** True when a redirect leads to the login host, or to anything called login. */
export function pointsToLogin(
  location: string | undefined,
  { requestUrl, loginBaseUrl }: Pick<Question, 'requestUrl' | 'loginBaseUrl'>,
): boolean {
  const target = location === undefined ? null : URL.parse(location, requestUrl);
  const login = URL.parse(loginBaseUrl);
  if (!target) return false;
  const prefix = login?.pathname.replace(/\/$/, '') ?? '';
  const underLogin =
    target.origin === login?.origin &&
    (target.pathname === prefix || target.pathname.startsWith(`${prefix}/`));
  return underLogin || /login/i.test(target.pathname);
}

const robotWords =
  /captcha|perimeterx|_px\b|human (verification|or robot)|robot or human|are you (a )?human|unusual activity/i;
const loginWords = /type=["']?password|<title>[^<]*(log ?in|sign ?in|log ?on|sign ?on)/i;

/**
 * What kind of page an answer is, or null when it is none. With 403 every page is the bot defence's, except a
 * plain login page; otherwise a login page stays one even if it loads the bot defence's script.
 */
export function pageOf(answer: Answer): 'login' | 'challenge' | 'other' | null {
  const start = answer.body.trimStart();
  const saysHtml = answer.contentType.includes('html') && start !== '' && !/^[[{"]|^null/.test(start);
  if (!start.startsWith('<') && !saysHtml) return null;
  const robots = robotWords.test(start);
  const login = loginWords.test(start);
  if (answer.status === 403) return login && !robots ? 'login' : 'challenge';
  if (login) return 'login';
  return robots ? 'challenge' : 'other';
}

function judgeBody(answer: Answer, body: unknown, question: Question): Judgement {
  switch (question.operation) {
    case 'get-report': {
      if (saysUnknownEvent(body)) return reject(answer, 'not_found', notFoundText('get-report'));
      const report = edrReport.safeParse(body);
      if (!report.success) return unexpected(answer, report.error.issues);
      if (question.eventId !== undefined && Number(report.data.demoId) !== Number(question.eventId)) {
        return reject(answer, 'unexpected_answer', 'The report is of another event than was asked for.');
      }
      return outcome({ kind: 'done', health: 'up', result: report.data, status: answer.status });
    }
    case 'browse-events': {
      const rows = browseData.safeParse(body);
      if (!rows.success) return unexpected(answer, rows.error.issues);
      return outcome({ kind: 'done', health: 'up', result: rows.data, status: answer.status });
    }
  }
}

function notFoundText(operation: WalmartOperation | undefined): string {
  return operation === 'get-report' ? 'Walmart EDR knows no such event.' : 'Walmart EDR knows no such page.';
}

/** Names the fields that do not fit, never their values. */
function unexpected(answer: Answer, issues: readonly { path: readonly PropertyKey[] }[]): Judgement {
  const fields = [
    ...new Set(issues.map(({ path }) => path.filter((part) => typeof part === 'string').join('.'))),
  ];
  const named = fields.filter((field) => field !== '').slice(0, 5);
  const where = named.length > 0 ? ` (${named.join(', ')})` : '';
  return reject(answer, 'unexpected_answer', `The answer does not have the expected form${where}.`);
}

function withoutAnswer(exchange: Exclude<Exchange, Answer>): Failure<'retry', Health> {
  const { code, message } = exchange;
  if (code === 'ERR_ABORTED') return { kind: 'retry', health: 'unknown', code: 'aborted', message };
  const timedOut = exchange.kind === 'no_answer' ? exchange.cause === 'timeout' : code === 'ETIMEDOUT';
  return { kind: 'retry', health: 'down', code: timedOut ? 'timeout' : 'network_error', message };
}

function rateLimited(status: number, delayMs: number): Outcome {
  const message =
    status === 429 ? 'Walmart EDR asked for fewer calls.' : 'Walmart EDR asked to come back later (503).';
  return {
    kind: 'snooze',
    health: status === 429 ? 'up' : 'unknown',
    code: 'rate_limited',
    message,
    status,
    hold: { kind: 'rate-limit', delayMs, reason: message },
  };
}

/** A body as JSON, without exceptions. */
export function parseJson(body: string): { ok: true; value: unknown } | { ok: false } {
  try {
    return { ok: true, value: JSON.parse(body) };
  } catch {
    return { ok: false };
  }
}

function outcome(value: Outcome): Judgement {
  return { kind: 'outcome', outcome: value };
}

function failed({ status }: Answer, code: string, message: string): Judgement {
  return outcome({ kind: 'retry', health: 'down', code, message, status });
}

function reject({ status }: Answer, code: string, message: string): Judgement {
  return outcome({ kind: 'reject', health: 'up', code, message, status });
}
