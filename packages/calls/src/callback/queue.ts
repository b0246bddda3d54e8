/**
 * Enqueues the callback of each finished call, at least once. A call with a callback is stored with an entry in
 * `…:callbacks`. Workers announce calls as they finish; a sweep over the set finds the finished calls that nobody
 * announced. The id of the callback job contains the call's finish time, so a second announcement adds nothing, while a
 * retried call is announced again.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { JobsOptions, Queue } from 'bullmq';
import { z } from 'zod';
import { timeOfCallId } from '../call/id.ts';
import { callbacksKey } from '../call/keys.ts';

/** Data of a callback job. The job id is the `webhook-id`. */
export const callbackJobSchema = z.looseObject({
  v: z.literal(1),
  upstream: z.string(),
  callId: z.string(),
  /** Finish time of the call, in ms since 1970. */
  finishedMs: z.number(),
  url: z.string(),
  /** The encrypted body, stored after the first failed delivery so that every retry sends the same body. */
  sealedBody: z.string().optional(),
});

export type CallbackJob = z.infer<typeof callbackJobSchema>;

/** The calls of one upstream. */
export type CallbackSource = {
  readonly upstream: string;
  readonly root: string;
  readonly queue: Pick<Queue, 'getJob' | 'toKey'>;
};

type EndedCall = { readonly id: string; readonly finishedMs: number };

/** An entry whose call does not exist is kept this long, because the call may still be stored. */
const arrivalMs = 15 * 60 * 1000;
const batchSize = 500;
const daySeconds = 24 * 60 * 60;

/** Name and key prefix of the callback queue. All upstreams share it, and breakers never pause it. */
export function callbackQueueOptions(prefix: string): { name: string; prefix: string } {
  return { name: 'callbacks', prefix: `${prefix}:{callbacks}` };
}

/** Adds the entries of calls with a callback. Call it before the calls are stored. Rejects if Redis fails. */
export async function noteCallbacks(redis: Redis, root: string, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await redis.zadd(callbacksKey(root), 'NX', ...ids.flatMap((id) => [0, id]));
}

/**
 * Enqueues the callbacks of the finished calls among `ids` that have not been announced, with `attempts` deliveries
 * each.
 */
export async function announceEnds(options: {
  readonly redis: Redis;
  readonly source: CallbackSource;
  readonly ids: readonly string[];
  readonly callbacks: Pick<Queue, 'add'>;
  readonly attempts: number;
}): Promise<{ readonly announced: number; readonly lost: number }> {
  const { redis, source, ids } = options;
  const { ended, missing } = await readEnds(redis, source, ids);
  let announced = 0;
  for (const call of ended) if (await announce(options, call)) announced += 1;
  const lost = await forget(redis, source, missing);
  return { announced, lost };
}

/** Announces all finished calls of an upstream that have not been announced. */
export async function sweepEnds(
  options: Omit<Parameters<typeof announceEnds>[0], 'ids'>,
): Promise<{ readonly announced: number; readonly lost: number }> {
  const { redis, source } = options;
  const total = { announced: 0, lost: 0 };
  let cursor = '0';
  do {
    const [next, members] = await redis.zscan(callbacksKey(source.root), cursor, 'COUNT', batchSize);
    cursor = next;
    const ids = members.filter((_, index) => index % 2 === 0);
    const { announced, lost } = await announceEnds({ ...options, ids });
    total.announced += announced;
    total.lost += lost;
  } while (cursor !== '0');
  return total;
}

// KEYS: callbacks, completed, failed, then the job of each id. BullMQ's score is the finish time in ms.
const endsScript = `
local found = {}
for index, id in ipairs(ARGV) do
  local announced = redis.call('ZSCORE', KEYS[1], id)
  local at = redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[3], id)
  if announced and at and tonumber(at) ~= tonumber(announced) then
    found[#found + 1] = {id, at, announced}
  elseif announced and not at and redis.call('EXISTS', KEYS[3 + index]) == 0 then
    found[#found + 1] = {id, '', announced}
  end
end
return found
`;

type Missing = { readonly id: string; readonly announced: boolean };

async function readEnds(
  redis: Redis,
  { root, queue }: CallbackSource,
  ids: readonly string[],
): Promise<{ ended: EndedCall[]; missing: Missing[] }> {
  if (ids.length === 0) return { ended: [], missing: [] };
  const keys = [callbacksKey(root), ...['completed', 'failed', ...ids].map((part) => queue.toKey(part))];
  const found = (await redis.eval(endsScript, keys.length, ...keys, ...ids)) as [string, string, string][];
  return {
    ended: found.flatMap(([id, at]) => (at === '' ? [] : [{ id, finishedMs: Number(at) }])),
    missing: found.flatMap(([id, at, announced]) =>
      at === '' ? [{ id, announced: Number(announced) > 0 }] : [],
    ),
  };
}

async function announce(
  { redis, source, callbacks, attempts }: Parameters<typeof announceEnds>[0],
  { id, finishedMs }: EndedCall,
): Promise<boolean> {
  const job = await source.queue.getJob(id);
  const url = callbackUrlOf(job?.data);
  if (url !== undefined) {
    const data: CallbackJob = { v: 1, upstream: source.upstream, callId: id, finishedMs, url };
    await callbacks.add('deliver', data, jobOptions(`${id}-${finishedMs}`, attempts));
  }
  // Written last: after a crash before this line, the call is announced again, which adds nothing.
  await redis.zadd(callbacksKey(source.root), 'XX', finishedMs, id);
  return url !== undefined;
}

/** A delivered job is kept for a day, so that a repeated announcement does not deliver it again. */
function jobOptions(jobId: string, attempts: number): JobsOptions {
  return {
    jobId,
    attempts,
    backoff: { type: 'custom' },
    removeOnComplete: { age: daySeconds, count: 10_000 },
    removeOnFail: { age: 14 * daySeconds, count: 10_000 },
    stackTraceLimit: 0,
  };
}

/** The callback URL of a stored call. */
export function callbackUrlOf(data: unknown): string | undefined {
  const parsed = callbackOptionSchema.safeParse(data);
  return parsed.success ? parsed.data.options.callback.url : undefined;
}

const callbackOptionSchema = z.looseObject({
  options: z.looseObject({ callback: z.looseObject({ url: z.string() }) }),
});

/** Removes the entries of calls that are no longer kept. Returns how many were never announced. */
async function forget(redis: Redis, { root }: CallbackSource, missing: readonly Missing[]): Promise<number> {
  if (missing.length === 0) return 0;
  const nowMs = Number((await redis.time())[0]) * 1000;
  const gone = missing.filter(({ id, announced }) => announced || nowMs - timeOfCallId(id) > arrivalMs);
  if (gone.length > 0) await redis.zrem(callbacksKey(root), ...gone.map(({ id }) => id));
  return gone.filter(({ announced }) => !announced).length;
}
