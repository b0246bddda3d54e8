/** Tells the API's own answers from pages of a proxy or login host, by content type and shape. */
import { parseJson } from '@recloser/runtime/values/parse-json';
import type { Answer } from './http.ts';

/** The API's own body. `value` is undefined where the API may answer without one. */
export type OwnBody = { readonly value: unknown };

const jsonType = /^[\w.-]+\/(?:[\w.+-]+\+)?json\s*(?:;|$)/;
/** Statuses with which an API may answer without a body. */
const silentStatuses = new Set([201, 202, 204]);

/** True for JSON content types: `application/json`, `application/problem+json`. */
export function isLabelledJson({ contentType }: Pick<Answer, 'contentType'>): boolean {
  return jsonType.test(contentType);
}

/**
 * The body if it is the API's own: JSON with a JSON content type, or a JSON object or list with any content type,
 * because some APIs send JSON as text/html. Null for anything else: pages, text, an empty 200, a truncated body.
 */
export function ownBody(answer: Answer): OwnBody | null {
  if (answer.bodyLost !== undefined) return null;
  const text = answer.body.trim();
  if (text === '') return silentStatuses.has(answer.status) ? { value: undefined } : null;
  if (!isLabelledJson(answer) && !/^[[{]/.test(text)) return null;
  const value = parseJson(text);
  return value === undefined ? null : { value };
}

/** True for a complete page with a password field. */
export function asksForPassword({ body, bodyLost }: Answer): boolean {
  return (
    bodyLost === undefined && /^\s*</.test(body) && /<input\b[^>]*\btype\s*=\s*["']?password\b/i.test(body)
  );
}
