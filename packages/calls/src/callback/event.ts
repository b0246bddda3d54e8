/**
 * The body of a callback: the finished call as `GET /v1/calls/{id}` returns it. It is rendered when it is sent, so the
 * queue contains no unencrypted personal data.
 */
import type { CallView } from '../read/view.ts';

/** Maximum body size in bytes. A larger body is sent without `result`, and the receiver gets the call instead. */
export const callbackMaxBytes = 1024 * 1024;

/** The body as text, which is signed and sent unchanged, and its type for logs. */
export type CallbackBody = { readonly type: string; readonly text: string };

/** Renders the callback of a finished call. */
export function callbackBody(call: CallView, maxBytes: number = callbackMaxBytes): CallbackBody {
  const type = `call.${call.status}`;
  const timestamp = call.finishedAt ?? call.createdAt;
  const text = JSON.stringify({ type, timestamp, data: call });
  if (Buffer.byteLength(text) <= maxBytes) return { type, text };
  const data = { ...call, result: null };
  return { type, text: JSON.stringify({ type, timestamp, resultOmitted: true, data }) };
}
