/**
 * Handles one request at a simulated upstream: admission, work, answer. Work continues after the client disconnects, as
 * it does at a real upstream. The ledger is updated before the last byte is sent, so a client that has an answer finds
 * it there.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  SimulatedReply,
  SimulatedRequest,
  SimulatedRoute,
} from '@recloser/upstreams/simulation/simulation';
import type { Response } from 'express';
import type { Arrival, Ending, Refusal, Verdict, Wait } from './faults.ts';
import type { LedgerEntry } from './ledger.ts';
import { cutOff, resetConnection, sendReply } from './send-reply.ts';
import type { Upstream } from './upstream.ts';

/** How a request ends: with an answer, a broken connection, or nothing at all. */
type Finish =
  | {
      readonly kind: 'send';
      readonly reply: SimulatedReply;
      readonly cut?: boolean;
      readonly outcome?: string;
    }
  | { readonly kind: 'reset' }
  | { readonly kind: 'silent' };

type Context = {
  readonly upstream: Upstream;
  readonly request: SimulatedRequest;
  /** Undefined for an unknown path. */
  readonly route: SimulatedRoute | undefined;
  readonly entry: LedgerEntry;
  /** Aborted when the connection closes. */
  readonly gone: AbortSignal;
  /** Aborted by a reset or stop of the simulator. */
  readonly ended: AbortSignal;
};

/** Resolves when the upstream has finished with the request. */
export async function exchange(
  upstream: Upstream,
  route: SimulatedRoute | undefined,
  request: SimulatedRequest,
  res: Response,
): Promise<void> {
  const at = upstream.now();
  const operation = route?.operation ?? 'unknown';
  const { entry, leave } = upstream.ledger.arrive({
    at,
    operation,
    method: request.method,
    path: request.path,
  });
  const gone = new AbortController();
  res.once('close', () => {
    leave();
    gone.abort();
    if (!res.writableFinished && entry.outcome.match(/^(in flight|answered)/)) entry.outcome = 'client gone';
  });
  route?.mention?.(request);
  const verdict = upstream.faults.admit({
    operation,
    session: sessionOf(upstream, route, request),
    nowMs: at,
  });
  const context = { upstream, request, route, entry, gone: gone.signal, ended: upstream.ended };
  const finish = await locked(context, () => decide(context, verdict)).catch(interrupted(context));
  verdict.leave();
  if (gone.signal.aborted) return;
  perform(finish, { entry, leave, request, res });
}

function sessionOf(
  { simulation }: Upstream,
  route: SimulatedRoute | undefined,
  request: SimulatedRequest,
): Arrival['session'] {
  if (route?.needsSession === false) return 'none';
  return simulation.authorise(request) === null ? 'living' : 'over';
}

function perform(
  finish: Finish,
  {
    entry,
    leave,
    request,
    res,
  }: { entry: LedgerEntry; leave: () => void; request: SimulatedRequest; res: Response },
): void {
  if (finish.kind === 'silent') return;
  if (finish.kind === 'reset') {
    if (entry.outcome === 'in flight') entry.outcome = 'reset';
    leave();
    resetConnection(res);
    return;
  }
  entry.outcome = finish.outcome ?? `answered ${finish.reply.status}`;
  leave();
  if (finish.cut) cutOff(res, finish.reply);
  else sendReply(res, finish.reply, request.headers['accept-encoding']);
}

/** A reset of the simulator also resets the connections of waiting requests. Any other error is a bug. */
function interrupted({ ended }: Context): (error: unknown) => Finish {
  return (error) => {
    if (ended.aborted) return { kind: 'reset' };
    throw error;
  };
}

async function locked(context: Context, work: () => Promise<Finish>): Promise<Finish> {
  const { simulation } = context.upstream;
  const key = simulation.settings.serialiseSessions ? simulation.sessionKey(context.request) : null;
  if (key === null) return work();
  const unlock = await context.upstream.lockSession(key);
  try {
    return await work();
  } finally {
    unlock();
  }
}

async function decide(context: Context, verdict: Verdict): Promise<Finish> {
  if (verdict.refusal) return { kind: 'send', reply: ownError(verdict.refusal, context) };
  await pause(ownLatencyMs(context), context);
  await waitFor(verdict.before, context);
  if (verdict.ending) return endWith(verdict.ending, verdict.after, context);
  const reply = work(context);
  await waitFor(verdict.after, context);
  return { kind: 'send', reply };
}

async function endWith(fault: Ending, after: Wait, context: Context): Promise<Finish> {
  const { entry, upstream, gone, ended } = context;
  if (fault.kind === 'late-commit') return commitLate(fault.ms, context);
  const reply = fault.afterApply || context.route?.changes === false ? work(context) : null;
  if (fault.afterApply) await waitFor(after, context);
  const jsonHeaders = { 'Content-Type': upstream.simulation.jsonType };
  switch (fault.kind) {
    case 'status':
      return { kind: 'send', reply: ownError(fault, context) };
    case 'reset':
      return { kind: 'reset' };
    case 'hang':
      entry.outcome = 'hung';
      if (fault.ms === undefined) await untilGone(gone, ended);
      else await pause(fault.ms, context);
      return { kind: 'reset' };
    case 'html':
      return { kind: 'send', reply: htmlPage(fault.status ?? 200) };
    case 'empty':
      return { kind: 'send', reply: { status: 200, headers: jsonHeaders, body: '' } };
    case 'bad-json':
      return { kind: 'send', reply: { status: 200, headers: jsonHeaders, body: '{"ok":1,"data":[}}' } };
    case 'truncate':
      return truncated(
        reply ?? { status: 200, headers: jsonHeaders, body: standInBody },
        fault.abort === true,
      );
    case 'not-ok':
      return { kind: 'send', reply: upstream.simulation.refusal ?? ownError({ status: 500 }, context) };
    case 'expired':
      return { kind: 'send', reply: upstream.simulation.endSession(context.request, fault.style) };
  }
}

/** The answer to truncate where no work was done. Its first half is not valid JSON. */
const standInBody = '{"ok":1,"data":{"ID":40000000,"note":"this answer is cut off in the middle"}}';

function truncated(reply: SimulatedReply, abort: boolean): Finish {
  if (abort) return { kind: 'send', reply, cut: true, outcome: 'truncated' };
  const half = { ...reply, body: reply.body.slice(0, Math.floor(reply.body.length / 2)) };
  return { kind: 'send', reply: half, outcome: 'truncated' };
}

/** Waits until the client has given up, then another `ms`, and does the work. */
async function commitLate(ms: number, context: Context): Promise<Finish> {
  context.entry.outcome = 'late-commit';
  await untilGone(context.gone, context.ended);
  await pause(ms, context);
  work(context);
  return { kind: 'silent' };
}

/** What the upstream does with the request without a fault. */
function work({ upstream, route, request, entry, ended }: Context): SimulatedReply {
  ended.throwIfAborted();
  if (!route) return htmlPage(404);
  const signedOut = route.needsSession ? upstream.simulation.authorise(request) : null;
  const reply = signedOut ?? route.handle(request);
  entry.applied = reply.applied === true;
  return reply;
}

function ownLatencyMs({ upstream, route }: Context): number {
  if (!route) return 0;
  const { latencyMs, realistic } = upstream.simulation.settings;
  return latencyMs[route.operation] ?? (realistic ? route.realisticMs : 0);
}

async function waitFor({ ms, gate }: Wait, context: Context): Promise<void> {
  await pause(ms, context);
  await gate?.hold(context.ended);
}

async function pause(ms: number, { ended }: Context): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal: ended });
}

async function untilGone(gone: AbortSignal, ended: AbortSignal): Promise<void> {
  if (!gone.aborted) await once(gone, 'abort', { signal: ended });
}

/** An error in the upstream's own form. */
function ownError(
  { status, retryAfterSeconds }: Pick<Refusal, 'status'> & { retryAfterSeconds?: number },
  { upstream }: Context,
): SimulatedReply {
  const headers = {
    'Content-Type': upstream.simulation.jsonType,
    ...(retryAfterSeconds !== undefined && { 'Retry-After': String(retryAfterSeconds) }),
  };
  return { status, headers, body: JSON.stringify({ error: `simulated ${status}` }) };
}

/** The page of a proxy in front of the upstream. 403 looks like a bot check. */
function htmlPage(status: number): SimulatedReply {
  const title = status === 200 ? 'Maintenance' : `Error ${status}`;
  const body = `<!DOCTYPE html><html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>`;
  return { status, headers: { 'Content-Type': 'text/html; charset=utf-8' }, body };
}
