/** Answers unknown paths and failed requests. Details of an error go to the log only. */
import type { Log } from '@recloser/runtime/observe/log';
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { messagePage } from './page/page.ts';
import { type Problem, problemOf, problems, sendProblem } from './page/problem.ts';
import { userOf } from './user/sessions.ts';

/** Returns 404. */
export const notFound: RequestHandler = (req, res) => answer(req, res, problems.notFound);

/** Turns an error into a problem or an error page. */
export function errorHandler(log: Log<'error' | 'warn'>): ErrorRequestHandler {
  return (error: unknown, req, res, next) => {
    const problem = problemFor(error);
    if (problem.status === 503) log.warn({ err: error, path: req.path }, 'Redis cannot be reached');
    if (problem.status === 500) log.error({ err: error, path: req.path }, 'a request failed');
    // Part of the response was sent: Express closes the connection.
    if (res.headersSent) next(error);
    else answer(req, res, problem);
  };
}

function answer(req: Request, res: Response, problem: Problem): void {
  const isScript =
    /^\/(api|queues\/api|assets)\//.test(req.originalUrl) || req.accepts(['html', 'json']) !== 'html';
  if (isScript) {
    sendProblem(res, problem);
    return;
  }
  if (problem.status === 503) res.setHeader('Retry-After', '2');
  res.status(problem.status).send(messagePage(problem.title, problem.detail, userOf(res)).text);
}

/** Errors that ioredis raises when Redis is unreachable, frozen or refuses writes. */
const storageErrors = new Set([
  'MaxRetriesPerRequestError',
  'ReplyError',
  'AbortError',
  'ClusterAllFailedError',
]);
const storageMessages =
  /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|Command timed out|Connection is closed|Stream isn't writeable|Socket timeout/i;

function problemFor(error: unknown): Problem {
  if (!(error instanceof Error)) return problems.internal;
  const { status, type } = error as { status?: unknown; type?: unknown };
  if (type === 'entity.too.large') return problems.tooLarge;
  if (status === 400 || status === 415) return problemOf(problems.malformed, 'The request cannot be read.');
  if (storageErrors.has(error.name) || storageMessages.test(error.message)) return problems.storage;
  return problems.internal;
}
