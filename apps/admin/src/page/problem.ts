/**
 * The problems that the admin API returns, as `application/problem+json` with a stable `type` and `code`. They
 * contain no stack trace and no internal message.
 */
import type { Response } from 'express';

/** One problem. `code` is stable, `detail` says what to do, `more` holds extra members. */
export type Problem = {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly more?: Readonly<Record<string, unknown>>;
};

/** All problems. `problemOf` gives one a more precise `detail`. */
export const problems = {
  malformed: {
    status: 400,
    code: 'malformed',
    title: 'Malformed request',
    detail: 'The request body is not valid JSON.',
  },
  signedOut: { status: 401, code: 'signed_out', title: 'Not logged in', detail: 'Log in at /login first.' },
  badLogin: {
    status: 401,
    code: 'bad_login',
    title: 'Login failed',
    detail: 'The user name or the password is wrong.',
  },
  forbidden: {
    status: 403,
    code: 'forbidden',
    title: 'Not allowed',
    detail: 'Your role does not allow this.',
  },
  crossOrigin: {
    status: 403,
    code: 'cross_origin',
    title: 'Cross-origin request',
    detail: 'Requests that change something must come from a page of this site.',
  },
  notFound: {
    status: 404,
    code: 'not_found',
    title: 'Not found',
    detail: 'Nothing exists at this address.',
  },
  conflict: {
    status: 409,
    code: 'conflict',
    title: 'Conflict',
    detail: 'The current state does not allow this.',
  },
  tooLarge: { status: 413, code: 'too_large', title: 'Too large', detail: 'The request body is too large.' },
  notJson: {
    status: 415,
    code: 'not_json',
    title: 'Unsupported media type',
    detail: 'Send the body as application/json.',
  },
  invalid: { status: 422, code: 'invalid', title: 'Invalid request', detail: 'A field is missing or wrong.' },
  tooMany: { status: 429, code: 'too_many', title: 'Too many attempts', detail: 'Wait, then try again.' },
  internal: {
    status: 500,
    code: 'internal',
    title: 'Internal error',
    detail: 'The request failed. See the log of admin.',
  },
  storage: {
    status: 503,
    code: 'storage_unavailable',
    title: 'Redis cannot be reached',
    detail: 'Nothing was changed. Try again shortly.',
  },
  noAnswer: {
    status: 504,
    code: 'no_answer',
    title: 'No worker answered',
    detail: 'No worker answered in time.',
  },
} as const satisfies Record<string, Problem>;

/** A problem with a more precise `detail` and extra members. */
export function problemOf(
  problem: Problem,
  detail: string,
  more?: Readonly<Record<string, unknown>>,
): Problem {
  return { ...problem, detail, ...(more === undefined ? {} : { more }) };
}

/** Sends a problem. Bull Board's page shows `error` and `message` in its notice. */
export function sendProblem(res: Response, problem: Problem): void {
  const { status, code, title, detail, more } = problem;
  const body = { type: `urn:recloser:problem:${code}`, status, code, title, detail, ...more };
  const forBoard = res.req.originalUrl.startsWith('/queues') ? { error: title, message: detail } : {};
  if (status === 429 && !res.hasHeader('Retry-After')) res.setHeader('Retry-After', '60');
  if (status === 503 && !res.hasHeader('Retry-After')) res.setHeader('Retry-After', '2');
  res
    .status(status)
    .type('application/problem+json')
    .send(JSON.stringify({ ...body, ...forBoard }));
}
