/**
 * What Walmart EDR's answers mean, after the shared judge has said what the exchange showed. Pure: no I/O, no clock
 * of its own.
 *
 * Always true: being signed out or challenged is never a failure of the upstream; an answer is believed only
 * after it passed a schema; no body text ever reaches a message.
 */

import type { Outcome } from '../contract/upstream.ts';
import type { Answer, Exchange } from '../http/http.ts';
import { type Dialect, judgeExchange, type OwnAnswer, type SignedOut } from '../http/judge-exchange.ts';
import { asksForPassword, ownBody } from '../http/own-answer.ts';
import type { walmartEdr } from './definition.ts';
import { outcomes } from './outcomes.ts';
import { browseData, edrReport, saysUnknownEvent } from './wire.ts';

/** The operations there are. */
export type WalmartOperation = keyof typeof walmartEdr.operations;

/** What an exchange showed. Only the client can act on `signed_out`, because it holds the session. */
export type Judgement = { readonly kind: 'outcome'; readonly outcome: Outcome } | SignedOut;

/** Where a request went, to understand its redirects. */
export type Place = {
  /** Absolute URL the request went to: relative redirects are resolved against it. */
  readonly requestUrl: string;
  readonly loginBaseUrl: string;
};

/** What the judge must know beside the exchange. */
export type Question = Place & {
  readonly operation: WalmartOperation;
  /** The event asked for, to check that the report is of that event. */
  readonly eventId?: string;
  /** Now in ms, for `Retry-After` given as a date. */
  readonly nowMs: number;
};

/** Judges one exchange made for an operation. */
export function classify(exchange: Exchange, question: Question): Judgement {
  const judged = judgePortal(exchange, question);
  return judged.kind === 'own' ? judgeOwn(judged, question) : judged;
}

/** Judges an exchange with any address of the portal, whose own answers have no schema here. */
export function judgePortal(
  exchange: Exchange,
  question: Place & { readonly nowMs: number },
): Judgement | OwnAnswer {
  const judged = judgeExchange(exchange, {
    dialect: dialectOf(question),
    sending: 'read',
    nowMs: question.nowMs,
  });
  return judged.kind === 'own' || judged.kind === 'signed_out' ? judged : outcome(judged);
}

/** How the pages of Walmart EDR are recognised. */
export function dialectOf(place: Place): Dialect {
  return {
    outcomes,
    isLoginPage: asksForPassword,
    leadsToLogin: ({ location }) => pointsToLogin(location, place),
    isChallenge,
  };
}

/** True when a redirect leads to the login host, or to anything called login. */
export function pointsToLogin(location: string | undefined, { requestUrl, loginBaseUrl }: Place): boolean {
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

/** A page of the bot defence. A login page stays one though it loads the defence's script, except with 403. */
export function isChallenge(answer: Answer): boolean {
  if (!isPage(answer) || !robotWords.test(answer.body)) return false;
  return answer.status === 403 || !asksForPassword(answer);
}

/** True for a body that is shown to people. */
export function isPage(answer: Answer): boolean {
  const isHtml = answer.contentType.includes('html') || answer.body.trimStart().startsWith('<');
  return answer.body.trim() !== '' && isHtml && ownBody(answer) === null;
}

function judgeOwn({ status, body }: OwnAnswer, question: Question): Judgement {
  if (status === 404 && question.operation === 'get-report') return reject(status, 'not_found');
  if (status >= 400) return reject(status, 'request_refused');
  switch (question.operation) {
    case 'get-report': {
      if (body !== undefined && saysUnknownEvent(body)) return reject(status, 'not_found');
      const report = edrReport.safeParse(body);
      if (!report.success) return unexpected(status, report.error.issues);
      if (question.eventId !== undefined && Number(report.data.demoId) !== Number(question.eventId)) {
        return reject(status, 'other_event');
      }
      return outcome({ kind: 'done', health: 'up', result: report.data, status });
    }
    case 'browse-events': {
      const rows = browseData.safeParse(body);
      if (!rows.success) return unexpected(status, rows.error.issues);
      return outcome({ kind: 'done', health: 'up', result: rows.data, status });
    }
  }
}

/** Names the fields that do not fit, never their values. */
function unexpected(status: number, issues: readonly { path: readonly PropertyKey[] }[]): Judgement {
  const fields = [
    ...new Set(issues.map(({ path }) => path.filter((part) => typeof part === 'string').join('.'))),
  ];
  const named = fields.filter((field) => field !== '').slice(0, 5);
  const failure = outcomes.reject('up', { code: 'unexpected_answer', status });
  const where = named.length > 0 ? ` Fields: ${named.join(', ')}.` : '';
  return outcome({ ...failure, message: `${failure.message}${where}` });
}

function reject(status: number, code: Parameters<typeof outcomes.reject>[1]['code']): Judgement {
  return outcome(outcomes.reject('up', { code, status }));
}

function outcome(value: Outcome): Judgement {
  return { kind: 'outcome', outcome: value };
}
