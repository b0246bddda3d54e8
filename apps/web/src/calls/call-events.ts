/**
 * `GET /v1/calls/{id}/events`: server-sent events of one call. `attempt` follows each attempt, `status` contains the
 * whole call after a change. The stream ends when the call has finished. The event id encodes what the client has
 * received, so a reconnect continues there. 204 tells an EventSource not to reconnect.
 */
import { createHash } from 'node:crypto';
import type { CallView } from '@recloser/calls/read/view';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';
import { type FoundCall, findCall, missingCall, upstreamOf } from './find-call.ts';

/** Holds and positions change without an event, so the call is also read at this interval. */
const lookEveryMs = 5_000;
const heartbeatMs = 15_000;
const reconnectMs = 3_000;

type Found = Extract<FoundCall, { kind: 'found' }>;

/** Answers 200 with a stream, 204 if the client has received the last event, 404 or 410 like `GET /v1/calls/{id}`. */
export async function callEvents(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const id = request.params.id ?? '';
  const upstream = upstreamOf(deps, id);
  if (!upstream) return missingCall('unknown');
  const first = await findCall(deps, upstream, id);
  if (first.kind !== 'found') return missingCall(first.kind);
  const seen = request.header('Last-Event-ID') ?? '';
  if (first.finished && seen === eventId(first.view)) return { status: 204, body: '' };
  return {
    status: 200,
    headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' },
    body: '',
    stream: (write) => sendEvents(deps, upstream, first, { seen, write, signal: request.signal }),
  };
}

async function sendEvents(
  deps: WebDeps,
  upstream: WebUpstream,
  first: Found,
  { seen, write, signal }: { seen: string; write: (piece: string) => void; signal: AbortSignal },
): Promise<void> {
  let last = seen;
  let sentAt = performance.now();
  const send = (piece: string): void => {
    sentAt = performance.now();
    write(piece);
  };
  const show = (found: FoundCall): { finished: boolean } => {
    if (found.kind !== 'found') return { finished: true };
    for (const piece of eventsSince(found.view, last)) send(piece);
    last = eventId(found.view);
    if (!found.finished && performance.now() - sentAt >= heartbeatMs) send(': heartbeat\n\n');
    return { finished: found.finished };
  };
  send(`retry: ${reconnectMs}\n\n`);
  if (show(first).finished) return;
  const look = async () => show(await findCall(deps, upstream, first.view.id));
  await deps.waiter.follow({ source: upstream, id: first.view.id, everyMs: lookEveryMs, signal, look });
}

/** The events after the event with the id `last`. */
function eventsSince(view: CallView, last: string): string[] {
  const now = eventId(view);
  if (now === last) return [];
  const [attemptsUntil = ''] = last.split('~');
  const attempts = view.history
    .filter(({ at }) => at > attemptsUntil)
    .map((entry) => event('attempt', `${entry.at}~`, entry));
  return [...attempts, event('status', now, view)];
}

/** The time of the last attempt and a digest of the call. The estimate is left out because it changes constantly. */
function eventId({ estimate: _estimate, ...view }: CallView): string {
  const digest = createHash('sha256').update(JSON.stringify(view)).digest('hex').slice(0, 16);
  return `${view.history.at(-1)?.at ?? ''}~${digest}`;
}

function event(name: string, id: string, data: unknown): string {
  return `event: ${name}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}
