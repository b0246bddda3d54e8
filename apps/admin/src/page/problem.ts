/**
 * The only place where a refusal becomes an HTTP answer. Scripts get `application/problem+json` with a
 * stable `type` and `code`; pages get a short page. Always true: no stack, no internal message leaves.
 */
import type { Response } from 'express';

/** One refusal: `code` is stable, `detail` says what to do, `more` adds fields of its own. */
export type Problem = {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly more?: Readonly<Record<string, unknown>>;
};

/** Every refusal the admin app knows; `detail` may be made more precise with `problemOf`. */
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
    title: 'Not from this site',
    detail: 'Writing calls are accepted from the pages of this site only.',
  },
  notFound: {
    status: 404,
    code: 'not_found',
    title: 'Not found',
    detail: 'There is nothing at this address.',
  },
  conflict: {
    status: 409,
    code: 'conflict',
    title: 'Not now',
    detail: 'This cannot be done as things stand.',
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
    detail: 'Something broke here; see the log.',
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

/** A known refusal with a more precise `detail` and fields of its own. */
export function problemOf(
  problem: Problem,
  detail: string,
  more?: Readonly<Record<string, unknown>>,
): Problem {
  return { ...problem, detail, ...(more === undefined ? {} : { more }) };
}

/** Answers with problem+json. `error` and `message` are what Bull Board's page shows in its notice. */
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
