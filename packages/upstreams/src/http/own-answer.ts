/** Whether an answer is the API's own or a page of something in front of it. Decided by content type and shape. */
import { parseJson } from '@recloser/runtime/values/parse-json';
import type { Answer } from './http.ts';

/** The API's own body. `value` is undefined where the API may answer without one. */
export type OwnBody = { readonly value: unknown };

const jsonType = /^[\w.-]+\/(?:[\w.+-]+\+)?json\s*(?:;|$)/;
/** Statuses with which an API answers without a body. */
const silentStatuses = new Set([201, 202, 204]);

/** True when the content type says JSON: `application/json`, `application/problem+json`. */
export function isLabelledJson({ contentType }: Pick<Answer, 'contentType'>): boolean {
  return jsonType.test(contentType);
}

/**
 * The body if it is the API's own: JSON labelled as such, or a JSON object or list under any label, because some APIs
 * send JSON as text/html. Null for everything else: pages, text, an empty 200, half a body.
 */
export function ownBody(answer: Answer): OwnBody | null {
  if (answer.bodyLost !== undefined) return null;
  const text = answer.body.trim();
  if (text === '') return silentStatuses.has(answer.status) ? { value: undefined } : null;
  if (!isLabelledJson(answer) && !/^[[{]/.test(text)) return null;
  const value = parseJson(text);
  return value === undefined ? null : { value };
}

/** True for a complete page that asks for a password. */
export function asksForPassword({ body, bodyLost }: Answer): boolean {
  return (
    bodyLost === undefined && /^\s*</.test(body) && /<input\b[^>]*\btype\s*=\s*["']?password\b/i.test(body)
  );
}
