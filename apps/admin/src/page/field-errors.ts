/** Turns zod's issues into one 422 problem with an entry per field (JSON pointers). */
import type { z } from 'zod';
import { type Problem, problemOf, problems } from './problem.ts';

/** One invalid field. */
export type FieldError = { readonly pointer: string; readonly detail: string };

/** A 422 that names each invalid field. */
export function invalidFields(
  errors: readonly FieldError[],
  more: Readonly<Record<string, unknown>> = {},
): Problem {
  const detail = errors.map((error) => `${error.pointer}: ${error.detail}`).join(' ');
  return problemOf(problems.invalid, detail, { errors, ...more });
}

/** The same from zod's issues. */
export function invalidBody(issues: readonly z.core.$ZodIssue[]): Problem {
  return invalidFields(issues.map((issue) => ({ pointer: pointerOf(issue), detail: issue.message })));
}

function pointerOf(issue: z.core.$ZodIssue): string {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const path = unknown === undefined ? issue.path : [...issue.path, unknown];
  return path.map((part) => `/${String(part)}`).join('');
}
