/** Classifies Walmart EDR's answers, after the shared judge. Pure. No text of a body reaches a message. */
import type { Outcome } from '../contract/upstream.ts';
import type { Answer, Exchange } from '../http/http.ts';
import { type Dialect, judgeExchange, type OwnAnswer, type SignedOut } from '../http/judge-exchange.ts';
import { asksForPassword, ownBody } from '../http/own-answer.ts';
import type { walmartEdr } from './definition.ts';
import { outcomes } from './outcomes.ts';
import { browseData, edrReport, saysUnknownEvent } from './wire.ts';

export type WalmartOperation = keyof typeof walmartEdr.operations;

export type Judgement = { readonly kind: 'outcome'; readonly outcome: Outcome } | SignedOut;

/** The URLs that redirects are compared with. */
export type Place = {
  /** Absolute URL of the request. Relative redirects are resolved against it. */
  readonly requestUrl: string;
  readonly loginBaseUrl: string;
};

export type Question = Place & {
  readonly operation: WalmartOperation;
  /** The requested event. The report must be of this event. */
  readonly eventId?: string;
  /** Now in ms, for `Retry-After` given as a date. */
  readonly nowMs: number;
};

/** Classifies an exchange of an operation. */
export function classify(exchange: Exchange, question: Question): Judgement {
  const judged = judgePortal(exchange, question);
  return judged.kind === 'own' ? judgeOwn(judged, question) : judged;
}

/** Classifies an exchange with any other address of the portal. Its own answers are not parsed. */
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

export function dialectOf(place: Place): Dialect {
  return {
    outcomes,
    isLoginPage: asksForPassword,
    leadsToLogin: ({ location }) => pointsToLogin(location, place),
    isChallenge,
  };
}

/** True for a redirect to the login host or to a path that contains "login". */
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

/** True for a page of the bot defence. A login page that loads the defence's script counts only with 403. */
export function isChallenge(answer: Answer): boolean {
  if (!isPage(answer) || !robotWords.test(answer.body)) return false;
  return answer.status === 403 || !asksForPassword(answer);
}

/** True for an HTML page. */
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

/** Names the fields that do not match the schema, never their values. */
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
