/**
 * One turn of a callback's job: draw the call, ask the gate, send, judge the answer.
 *
 * Always true: every repeat has the same `webhook-id` and the same body; a callback that is put off costs no
 * attempt; only a finished call is told of, and only its latest end; bodies, queries and secrets are never logged.
 */

import { callbackBody } from '@recloser/calls/callback/event';
import { type CallbackHosts, checkCallbackUrl } from '@recloser/calls/callback/hosts';
import { type CallbackJob, callbackJobSchema } from '@recloser/calls/callback/queue';
import type { CallbackSigner } from '@recloser/calls/callback/signature';
import { callView, readCall } from '@recloser/calls/read/view';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import { DelayedError, type Job, type Queue, UnrecoverableError, WaitingError } from 'bullmq';
import type { StopSwitch } from '../queue/stop-switch.ts';
import { jittered, type Timings } from '../queue/timings.ts';
import type { CallbackGate, Pass } from './gate.ts';
import type { CallbackMetrics } from './metrics.ts';
import { type Resolve, type SendResult, sendCallback } from './sender.ts';

export type DeliveryContext = {
  readonly redis: Redis;
  /** Queues of the calls, by upstream. */
  readonly queues: ReadonlyMap<string, Queue>;
  readonly sealer: Sealer;
  readonly hosts: CallbackHosts;
  readonly signer: CallbackSigner;
  readonly gate: CallbackGate;
  readonly timeoutMs: number;
  /** A callback older than this is given up, however often it was put off. */
  readonly maxAgeMs: number;
  readonly timings: Pick<Timings, 'putOffMs'>;
  readonly metrics: CallbackMetrics;
  readonly stop: StopSwitch;
  readonly log: Logger;
  readonly resolve?: Resolve;
};

/** How a delivery ended well, or why there was nothing to deliver. The job's return value. */
export type Delivered = {
  readonly outcome: 'delivered' | 'refused-for-good' | 'superseded';
  readonly status?: number;
};

/** A delivery that is tried again. `waitMs`: at least so long, the receiver asked for it. */
export class DeliveryFailed extends Error {
  readonly code = 'callback_failed';
  readonly waitMs: number | null;

  constructor(message: string, waitMs: number | null) {
    super(message);
    this.waitMs = waitMs;
  }
}

const longestPutOffMs = 60_000;

/** Takes a callback one step further. Throws what tells BullMQ what happens to it next. */
export async function deliverCallback(
  context: DeliveryContext,
  job: Job<CallbackJob, Delivered>,
  token: string,
): Promise<Delivered> {
  const parsed = callbackJobSchema.safeParse(job.data);
  if (!parsed.success) return giveUp(context, 'unreadable', 'what is stored of this callback cannot be read');
  const data = parsed.data;
  const checked = checkCallbackUrl(context.hosts, data.url);
  if (!checked.ok) return giveUp(context, 'forbidden', 'the host is not in CALLBACK_HOSTS (any more)');
  if (Date.now() - job.timestamp > context.maxAgeMs) return giveUp(context, 'given_up', 'it is too old');
  const body = await drawBody(context, data);
  if (body === 'superseded') {
    context.metrics.settled('superseded');
    return { outcome: 'superseded' };
  }
  if (body === 'sealed') {
    context.log.warn(
      { callback: job.id, callId: data.callId },
      'left to a worker with the right SESSION_KEY',
    );
    return putOff(context, job, token, 0);
  }
  if (body === 'gone') return giveUp(context, 'given_up', 'the call is no longer kept');
  const entry = await context.gate.enter(checked.url.host, job.id ?? '');
  if (entry.kind === 'wait') return putOff(context, job, token, entry.forMs);
  return send(context, { job, token, data, url: checked.url, body }, entry.pass);
}

type Delivery = {
  readonly job: Job<CallbackJob, Delivered>;
  readonly token: string;
  readonly data: CallbackJob;
  readonly url: URL;
  readonly body: string;
};

/** The text of the first delivery if there was one; else as the call stands now. */
async function drawBody(
  context: DeliveryContext,
  data: CallbackJob,
): Promise<string | 'superseded' | 'gone' | 'sealed'> {
  const { redis, sealer } = context;
  const queue = context.queues.get(data.upstream);
  const call = queue && (await readCall({ redis, queue, id: data.callId }));
  // Made once more by a person since: its next end has a callback of its own.
  if (call && call.job.finishedOn !== data.finishedMs) return 'superseded';
  if (data.sealedBody !== undefined) return open(sealer, data.sealedBody) ?? 'sealed';
  if (!call) return 'gone';
  const view = callView({ upstream: data.upstream, call, holds: [], nowMs: Date.now(), sealer });
  if (view.error?.code === 'result_unreadable') return 'sealed';
  return callbackBody(view).text;
}

function open(sealer: Sealer, sealed: string): string | undefined {
  try {
    return sealer.open(sealed);
  } catch {
    return undefined;
  }
}

async function send(context: DeliveryContext, delivery: Delivery, pass: Pass): Promise<Delivered> {
  const { job, url, body, token } = delivery;
  const { hosts, signer, timeoutMs, stop, resolve } = context;
  const startedAt = performance.now();
  let result: SendResult;
  try {
    result = await sendCallback({
      url,
      body,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'recloser',
        ...signer.sign(job.id ?? '', Math.floor(Date.now() / 1000), body),
      },
      hosts,
      timeoutMs,
      signal: stop.signal,
      ...(resolve && { resolve }),
    });
  } catch (error) {
    await settle(context, pass, 'unknown');
    if (!stop.signal.aborted) throw error;
    // Cut short by our own stop: somebody else sends it again, under the same id.
    await job.moveToWait(token);
    throw new WaitingError();
  }
  const durationMs = performance.now() - startedAt;
  const down = result.kind === 'unreachable' || (result.kind === 'answered' && result.status >= 500);
  const health = result.kind === 'forbidden-address' ? 'unknown' : down ? 'down' : 'up';
  await settle(context, pass, health, wordOf(result));
  context.metrics.attempted(wordOf(result), durationMs);
  const { callId } = delivery.data;
  const about = { callback: job.id, callId, host: url.host, result: wordOf(result) };
  context.log.info({ ...about, attempt: job.attemptsMade + 1, durationMs: Math.round(durationMs) }, 'sent');
  return judge(context, delivery, result);
}

async function judge(context: DeliveryContext, delivery: Delivery, result: SendResult): Promise<Delivered> {
  const { job, data, body } = delivery;
  if (result.kind === 'answered' && result.status >= 200 && result.status < 300) {
    context.metrics.settled('delivered');
    return { outcome: 'delivered', status: result.status };
  }
  if (result.kind === 'answered' && result.status === 410) {
    context.metrics.settled('refused-for-good');
    return { outcome: 'refused-for-good', status: 410 };
  }
  const word = wordOf(result);
  if (job.attemptsMade + 1 >= (job.opts.attempts ?? 1)) return giveUp(context, 'given_up', word);
  if (data.sealedBody === undefined) await job.updateData({ ...data, sealedBody: context.sealer.seal(body) });
  throw new DeliveryFailed(word, result.kind === 'answered' ? result.retryAfterMs : null);
}

/** The state of a host's breaker must not decide over a callback that was sent already. */
async function settle(
  context: DeliveryContext,
  pass: Pass,
  ...showed: Parameters<Pass['settle']>
): Promise<void> {
  try {
    await pass.settle(...showed);
  } catch (err) {
    context.log.warn({ err }, 'what a callback showed of its host could not be told to the fleet');
  }
}

/** Back into the queue, unspent; the longer, the more often that has happened. */
async function putOff({ timings }: DeliveryContext, job: Job, token: string, forMs: number): Promise<never> {
  const times = Math.max(0, job.attemptsStarted - job.attemptsMade - 1);
  const leastMs = jittered(Math.min(longestPutOffMs, timings.putOffMs * 2 ** Math.min(times, 7)));
  await job.moveToDelayed(Date.now() + Math.max(1, Math.round(forMs)) + leastMs, token);
  throw new DelayedError();
}

function giveUp(
  context: DeliveryContext,
  outcome: 'unreadable' | 'forbidden' | 'given_up',
  why: string,
): never {
  context.metrics.settled(outcome);
  throw new UnrecoverableError(`${outcome}: ${why}`);
}

function wordOf(result: SendResult): string {
  if (result.kind === 'answered') return `http_${result.status}`;
  return result.kind === 'unreachable' ? result.reason : 'forbidden_address';
}
