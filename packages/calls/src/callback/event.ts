/**
 * What a callback says: the finished call, exactly as `GET /v1/calls/{id}` shows it. It is drawn when it is
 * sent, so that nothing personal lies in clear in the queue meanwhile.
 */
import type { CallView } from '../read/view.ts';

/** Longest body, in bytes. A longer one goes without the call's result, which the receiver then fetches. */
export const callbackMaxBytes = 1024 * 1024;

/** The body as text, to be signed and sent byte by byte, and its type for logs. */
export type CallbackBody = { readonly type: string; readonly text: string };

/** Draws the body of a finished call's callback. */
export function callbackBody(call: CallView, maxBytes: number = callbackMaxBytes): CallbackBody {
  const type = `call.${call.status}`;
  const timestamp = call.finishedAt ?? call.createdAt;
  const text = JSON.stringify({ type, timestamp, data: call });
  if (Buffer.byteLength(text) <= maxBytes) return { type, text };
  const data = { ...call, result: null };
  return { type, text: JSON.stringify({ type, timestamp, resultOmitted: true, data }) };
}
